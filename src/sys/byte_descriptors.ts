/**
 * Pipes, terminals and connected sockets as bytes, at the pace of their other side.
 *
 * The calls are made here, directly: of Node's streams, which cost several times as much, one begins to
 * read the writing end of a pipe at times, and one for its reading end is never freed.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type EventPoll, type EventPollOptions, openEventPoll } from "./_event_poll.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { ReadMemory } from "./read_memory.ts";
import { Turn } from "./turn.ts";

/** One descriptor, which it owns. One read and one write at a time. */
export interface ByteDescriptor extends Disposable {
  /**
   * The next bytes; undefined at the end, and once it was closed here. They stay as they are until the next
   * read, or for as long as somebody has them after {@link keep}.
   *
   * @throws {SyscallError} the other side is lost
   */
  read(): Promise<Uint8Array | undefined>;
  /** Of what was read last something is still used: the next read takes other memory. */
  keep(): void;
  /**
   * Resolves when the kernel has taken all of the parts; false if nobody reads them any more, or it was
   * closed here.
   *
   * @throws {SyscallError} the other side is lost
   */
  write(...parts: readonly Uint8Array[]): Promise<boolean>;
  /** Resolves when the kernel may take bytes, or when it was closed; also too often. */
  writable(): Promise<void>;
  /** Of a socket: tells the other side that no more comes, and reads on. Succeeds if it is gone. */
  endWriting(): void;
  /** Bytes that have come and were not read. */
  unread(): number;
  /** What is waited for ends. May be repeated. */
  close(): void;
}

const READABLE = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
const WRITABLE = EPOLLOUT | EPOLLHUP | EPOLLERR;

/** Waits for all descriptors together, without a thread. */
export class ByteDescriptors implements Disposable {
  readonly #kernel: Kernel;
  readonly #open = new Map<bigint, OpenDescriptor>();
  readonly #poll: EventPoll;
  readonly #turn = new Turn();
  #lastKey = 0n;
  #waiting = 0;

  constructor(kernel: Kernel, options: Pick<EventPollOptions, "method"> = {}) {
    this.#kernel = kernel;
    this.#poll = openEventPoll({
      ...options,
      kernel,
      onEvents: (events) => {
        this.#turn.begin();
        for (const { data, events: which } of events) this.#open.get(data)?.ready(which);
      },
    });
  }

  /** Takes over the descriptor. */
  open(fd: Fd): ByteDescriptor {
    const poll = this.#poll;
    this.#kernel.setNonblocking(fd.number, true);
    const key = ++this.#lastKey;
    const descriptor = new OpenDescriptor(fd, this.#kernel, this.#turn, {
      waits: (by) => {
        this.#waiting += by;
        if (this.#waiting === 0 || this.#waiting === by) poll.keepAlive(this.#waiting > 0);
      },
      closing: () => {
        // First out of the set: its number may be another's after the close.
        this.#open.delete(key);
        poll.remove(fd.number);
      },
    });
    this.#open.set(key, descriptor);
    // Only what changes is told: whoever waits has just seen that there is nothing.
    poll.add(fd.number, key, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    return descriptor;
  }

  [Symbol.dispose](): void {
    for (const descriptor of [...this.#open.values()]) descriptor.close();
    this.#poll[Symbol.dispose]();
  }
}

/** What a descriptor tells those who wait for all of them. */
interface Waiting {
  /** One more (1) or one less (-1) waits. */
  waits(by: 1 | -1): void;
  closing(): void;
}

class OpenDescriptor implements ByteDescriptor {
  readonly #fd: Fd;
  readonly #kernel: Kernel;
  readonly #waiting: Waiting;
  readonly #turn: Turn;
  readonly #memory = new ReadMemory();
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(fd: Fd, kernel: Kernel, turn: Turn, waiting: Waiting) {
    this.#fd = fd;
    this.#kernel = kernel;
    this.#turn = turn;
    this.#waiting = waiting;
  }

  /** The kernel says that these events have come. */
  ready(events: number): void {
    if ((events & READABLE) !== 0) this.#wakeReader?.();
    if ((events & WRITABLE) !== 0) this.#wakeWriter?.();
  }

  async read(): Promise<Uint8Array | undefined> {
    const fd = this.#fd;
    if (this.#turn.over) await this.#turn.others();
    while (!fd.closed) {
      const length = this.#kernel.readNow(fd.number, this.#memory.free());
      if (length === 0) return undefined;
      if (length !== undefined) {
        this.#turn.spend(length);
        return this.#memory.filled(length);
      }
      await this.#waited((wake) => this.#wakeReader = wake);
    }
    return undefined;
  }

  keep(): void {
    this.#memory.keep();
  }

  async write(...parts: readonly Uint8Array[]): Promise<boolean> {
    const fd = this.#fd;
    let rest = parts;
    if (this.#turn.over) await this.#turn.others();
    while (!fd.closed) {
      let taken: number | undefined;
      try {
        taken = this.#kernel.writeNow(fd.number, rest);
      } catch (error) {
        if (isErrno(error, "EPIPE")) return false;
        throw error;
      }
      if (taken === undefined) {
        await this.#waited((wake) => this.#wakeWriter = wake);
        continue;
      }
      this.#turn.spend(taken);
      rest = without(rest, taken);
      if (rest.length === 0) return true;
    }
    return false;
  }

  async writable(): Promise<void> {
    if (!this.#fd.closed) await this.#waited((wake) => this.#wakeWriter = wake);
  }

  endWriting(): void {
    if (this.#fd.closed) return;
    try {
      this.#kernel.shutdownWriting(this.#fd.number);
    } catch (error) {
      if (!isErrno(error, "ENOTCONN")) throw error;
    }
  }

  unread(): number {
    return this.#fd.closed ? 0 : this.#kernel.unreadBytes(this.#fd.number);
  }

  close(): void {
    if (this.#fd.closed) return;
    this.#waiting.closing();
    this.#fd.close();
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #waited(register: (wake: (() => void) | undefined) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    register(resolve);
    this.#waiting.waits(1);
    await promise;
    register(undefined);
    this.#waiting.waits(-1);
  }
}

/** The parts behind the first `length` bytes. */
function without(parts: readonly Uint8Array[], length: number): readonly Uint8Array[] {
  let left = length;
  let index = 0;
  for (; index < parts.length; index++) {
    const size = parts[index]!.length;
    if (size > left) return [parts[index]!.subarray(left), ...parts.slice(index + 1)];
    left -= size;
  }
  return [];
}
