/**
 * Readiness of many descriptors as one callback on the event loop.
 *
 * The descriptors are in one epoll set. That set cannot be adopted (reading an epoll descriptor fails),
 * so one poll request of Linux AIO (`io_submit(2)`, `IOCB_CMD_POLL`) on it signals an eventfd, which
 * can. No thread waits. Where AIO is missing or used up, one `epoll_wait` on a thread of Deno's
 * pool does the same.
 *
 * @module
 */
import { InternalError, isErrno } from "../errors/mod.ts";
import { adoptStream } from "./adopted.ts";
import { EPOLLIN } from "./constants.ts";
import type { EpollEvent, Fd, Kernel } from "./kernel.ts";
import { decodeEpollEvents, EPOLL_EVENT_SIZE } from "./linux/structs.ts";

const BATCH = 256;

export interface EventPoll extends Disposable {
  /**
   * Takes events of a descriptor, `EPOLLIN` by default, until {@link remove}; `key` comes back with them,
   * and may still do so once after that.
   */
  add(fd: number, key: bigint, events?: number): void;
  remove(fd: number): void;
  /** True keeps the process alive while nothing else does. */
  keepAlive(on: boolean): void;
}

export interface EventPollOptions {
  readonly kernel: Kernel;
  readonly onEvents: (events: readonly EpollEvent[]) => void;
  /** `thread` forbids AIO, for tests. */
  readonly method?: "aio" | "thread";
}

export function openEventPoll(options: EventPollOptions): EventPoll {
  const epoll = options.kernel.epollCreate();
  try {
    if (options.method !== "thread") {
      const aio = AioPoll.open(epoll, options);
      if (aio !== undefined) return aio;
    }
    return new ThreadPoll(epoll, options);
  } catch (error) {
    epoll.close();
    throw error;
  }
}

const AIO_SYMBOLS = {
  setup: { name: "syscall", parameters: ["i64", "u64", "buffer"], result: "i64" },
  submit: { name: "syscall", parameters: ["i64", "u64", "i64", "buffer"], result: "i64" },
  take: {
    name: "syscall",
    parameters: ["i64", "u64", "i64", "i64", "buffer", "usize"],
    result: "i64",
  },
  destroy: { name: "syscall", parameters: ["i64", "u64"], result: "i64" },
} as const satisfies Deno.ForeignLibraryInterface;

const ARM = Deno.build.arch === "aarch64";
const SYS_io_setup = ARM ? 0n : 206n;
const SYS_io_destroy = ARM ? 1n : 207n;
const SYS_io_submit = ARM ? 2n : 209n;
const SYS_io_getevents = ARM ? 4n : 208n;
const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;

class AioPoll implements EventPoll {
  readonly #kernel: Kernel;
  readonly #epoll: Fd;
  readonly #libc: Deno.DynamicLibrary<typeof AIO_SYMBOLS>;
  readonly #context: bigint;
  readonly #iocb: Uint8Array<ArrayBuffer>;
  readonly #iocbs: BigUint64Array<ArrayBuffer>;
  readonly #completion = new Uint8Array(32);
  readonly #socket: ReturnType<typeof adoptStream>;
  #closed = false;

  static open(epoll: Fd, options: EventPollOptions): AioPoll | undefined {
    const libc = Deno.dlopen("libc.so.6", AIO_SYMBOLS);
    const context = new BigUint64Array(1);
    // ENOSYS without CONFIG_AIO, EPERM under a filter, EAGAIN when fs.aio-max-nr is used up.
    if (libc.symbols.setup(SYS_io_setup, 1n, context) !== 0n) {
      libc.close();
      return undefined;
    }
    return new AioPoll(epoll, options, libc, context[0] ?? 0n);
  }

  private constructor(
    epoll: Fd,
    { kernel, onEvents }: EventPollOptions,
    libc: Deno.DynamicLibrary<typeof AIO_SYMBOLS>,
    context: bigint,
  ) {
    this.#kernel = kernel;
    this.#epoll = epoll;
    this.#libc = libc;
    this.#context = context;
    const signalled = kernel.eventfd(0);
    this.#iocb = new Uint8Array(64);
    const view = new DataView(this.#iocb.buffer);
    view.setUint16(16, IOCB_CMD_POLL, true);
    view.setUint32(20, epoll.number, true);
    view.setBigUint64(24, BigInt(EPOLLIN), true);
    view.setUint32(56, IOCB_FLAG_RESFD, true);
    view.setUint32(60, signalled.number, true);
    this.#iocbs = new BigUint64Array([
      Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#iocb)),
    ]);
    this.#arm();
    this.#socket = adoptStream(signalled);
    this.#socket.unref();
    this.#socket.on("data", () => {
      libc.symbols.take(SYS_io_getevents, context, 0n, 1n, this.#completion, 0n);
      const events = kernel.epollTake(epoll.number, BATCH);
      onEvents(events);
      // Polling looks at the present state first: what came meanwhile completes it at once.
      if (!this.#closed) this.#arm();
    });
  }

  add(fd: number, key: bigint, events = EPOLLIN): void {
    this.#kernel.epollAdd(this.#epoll.number, fd, events, key);
  }

  remove(fd: number): void {
    this.#kernel.epollRemove(this.#epoll.number, fd);
  }

  keepAlive(on: boolean): void {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    // Ends the pending poll request, which holds the epoll set and the eventfd.
    this.#libc.symbols.destroy(SYS_io_destroy, this.#context);
    this.#libc.close();
    this.#socket.destroy();
    this.#epoll.close();
  }

  #arm(): void {
    const result = this.#libc.symbols.submit(SYS_io_submit, this.#context, 1n, this.#iocbs);
    if (result !== 1n) throw new InternalError("The kernel took no poll request");
  }
}

const WAIT_SYMBOLS = {
  epoll_wait: {
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

const WAKE_KEY = 0xffffffffffffffffn;

class ThreadPoll implements EventPoll {
  readonly #kernel: Kernel;
  readonly #epoll: Fd;
  readonly #wake: Fd;
  #closed = false;

  constructor(epoll: Fd, { kernel, onEvents }: EventPollOptions) {
    this.#kernel = kernel;
    this.#epoll = epoll;
    this.#wake = kernel.eventfd(0);
    kernel.epollAdd(epoll.number, this.#wake.number, EPOLLIN, WAKE_KEY);
    void this.#run(onEvents);
  }

  async #run(onEvents: EventPollOptions["onEvents"]): Promise<void> {
    const libc = Deno.dlopen("libc.so.6", WAIT_SYMBOLS);
    const buffer = new Uint8Array(EPOLL_EVENT_SIZE * BATCH);
    while (!this.#closed) {
      // What it returns is passed on: an edge is told once. Of a descriptor that was removed meanwhile,
      // the key says nothing to anybody any more.
      const count = await libc.symbols.epoll_wait(this.#epoll.number, buffer, BATCH, -1);
      if (this.#closed) break;
      const events = decodeEpollEvents(buffer, Math.max(count, 0)); // -1: a signal woke the thread
      onEvents(events.filter((event) => event.data !== WAKE_KEY));
    }
    libc.close();
    this.#wake.close();
    this.#epoll.close();
  }

  add(fd: number, key: bigint, events = EPOLLIN): void {
    this.#kernel.epollAdd(this.#epoll.number, fd, events, key);
  }

  remove(fd: number): void {
    try {
      this.#kernel.epollRemove(this.#epoll.number, fd);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }

  /** A thread that waits keeps the process alive anyway. */
  keepAlive(_on: boolean): void {}

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    const one = new Uint8Array(8);
    one[0] = 1;
    this.#kernel.write(this.#wake.number, one);
  }
}
