/**
 * Starting programs by `posix_spawn(3)`.
 *
 * Deno forks when a child gets a session or descriptors of its own, and a fork copies this process's page
 * tables: 6 ms of a blocked event loop at 150 MB resident, for each of the half dozen programs that a
 * pod start runs. glibc's `posix_spawn` shares the memory until the program is there: 0.1 ms.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import { adoptReader } from "./adopted.ts";
import type { ProgramStarter, StartedProgram, StartRequest } from "./child_process.ts";
import { errnoName } from "./errno.ts";
import { EndedOrphans, type Expectation } from "./_ended_orphans.ts";
import { type EventPoll, openEventPoll } from "./_event_poll.ts";
import { PR_SET_CHILD_SUBREAPER } from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { ByteDescriptors } from "./byte_descriptors.ts";
import type { ExpectedOrphan, OrphanKeeper, ProcessEnding } from "./process_runner.ts";
import { signalName } from "./signals.ts";

const SYMBOLS = {
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  posix_spawn_file_actions_addopen: {
    parameters: ["buffer", "i32", "buffer", "i32", "u32"],
    result: "i32",
  },
  posix_spawn_file_actions_addchdir_np: { parameters: ["buffer", "buffer"], result: "i32" },
  // Since glibc 2.34; without it what is not close-on-exec would pass, and sealDescriptors() is all there is.
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: ["buffer", "i32"],
    result: "i32",
    optional: true,
  },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  waitid: { parameters: ["i32", "i32", "buffer", "i32"], result: "i32" },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  waitpidOnThread: {
    name: "waitpid",
    parameters: ["i32", "buffer", "i32"],
    result: "i32",
    nonblocking: true,
  },
  fcntl: { parameters: ["i32", "i32", "i64"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Bytes = Uint8Array<ArrayBuffer>;

/** Larger than glibc's `posix_spawnattr_t` (336) and `posix_spawn_file_actions_t` (80). */
const STRUCT_BYTES = 512;
const SIGSET_BYTES = 128;
const SETSIGDEF = 0x04;
const SETSIGMASK = 0x08;
const SETSID = 0x80;
const O_RDWR = 2;
const F_DUPFD_CLOEXEC = 1030;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
const P_ALL = 0;
const P_PID = 1;
const SIGKILL = 9;
const SIGINFO_BYTES = 128;
const SIGINFO_PID = 16;
const STATUS_BYTES = 4;

interface Child {
  readonly pid: number;
  readonly pidfd: Fd;
  readonly ended: PromiseWithResolvers<Ending>;
}

type Ending = ProcessEnding;

export class PosixSpawner implements ProgramStarter, OrphanKeeper, Disposable {
  readonly #kernel: Kernel;
  readonly #descriptors: ByteDescriptors;
  readonly #libc = Deno.dlopen("libc.so.6", SYMBOLS);
  readonly #children = new Map<bigint, Child>();
  readonly #poll: EventPoll;
  #lastKey = 0n;
  readonly #endedOrphans = new EndedOrphans();
  #stopReaping: (() => void) | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#descriptors = new ByteDescriptors(kernel);
    this.#poll = openEventPoll({
      kernel,
      onEvents: (events) => {
        for (const { data } of events) this.#reap(data);
      },
    });
  }

  start(request: StartRequest): StartedProgram {
    using theirs = new DisposableStack();
    using ours = new DisposableStack();
    const kept: (Fd | undefined)[] = [];
    const given = request.stdio.map((entry, position): number | "null" => {
      if (entry === "ignore") return "null";
      if (entry !== "pipe") return entry;
      const { read, write } = this.#kernel.pipe2(0);
      const [end, own] = position === 0 ? [read, write] : [write, read];
      theirs.use(end);
      kept[position] = ours.use(own);
      return end.number;
    });
    const pid = this.#spawn(request, given);
    try {
      const [input, output, errors] = kept;
      const started = {
        pid,
        ended: this.#watch(pid),
        ...(input === undefined ? {} : { stdin: this.#descriptors.open(input) }),
        ...(output === undefined ? {} : { stdout: adoptReader(output) }),
        ...(errors === undefined ? {} : { stderr: adoptReader(errors) }),
      };
      ours.move(); // they belong to what is returned
      return started;
    } catch (error) {
      // The caller hears that nothing was started.
      this.#end(pid);
      throw error;
    }
  }

  /**
   * Makes this process the parent of what programs leave behind when they end, and reaps it. For a
   * process that starts all its programs here: it would take the end of others' children away.
   */
  reapOrphans(): void {
    if (this.#stopReaping !== undefined) return;
    this.#becomeSubreaper();
    const reap = () => this.#reapAll();
    Deno.addSignalListener("SIGCHLD", reap);
    this.#stopReaping = () => Deno.removeSignalListener("SIGCHLD", reap);
  }

  expectOrphan(): ExpectedOrphan {
    this.#becomeSubreaper();
    const expectation = this.#endedOrphans.expect();
    return {
      adopt: (pid) => {
        const ended = this.#adopt(pid, expectation);
        // A session may last for days, and every orphan that ends meanwhile would be kept for it.
        expectation[Symbol.dispose]();
        return ended;
      },
      [Symbol.dispose]: () => expectation[Symbol.dispose](),
    };
  }

  [Symbol.dispose](): void {
    this.#stopReaping?.();
    for (const { pidfd } of this.#children.values()) pidfd.close();
    this.#children.clear();
    this.#descriptors[Symbol.dispose]();
    this.#poll[Symbol.dispose]();
  }

  #spawn(
    { path, args, env, cwd, detached }: StartRequest,
    stdio: readonly (number | "null")[],
  ): number {
    const { symbols: libc } = this.#libc;
    using above = this.#movedAbove(stdio);
    const actions = new Uint8Array(STRUCT_BYTES);
    libc.posix_spawn_file_actions_init(actions);
    try {
      const files = above.numbers;
      files.forEach((source, target) => {
        if (source === "null") {
          libc.posix_spawn_file_actions_addopen(actions, target, text("/dev/null"), O_RDWR, 0);
        } else libc.posix_spawn_file_actions_adddup2(actions, source, target);
      });
      libc.posix_spawn_file_actions_addclosefrom_np?.(actions, files.length);
      if (cwd !== undefined) libc.posix_spawn_file_actions_addchdir_np(actions, text(cwd));
      const pid = new Int32Array(1);
      const argv = new StringArray([path, ...args]);
      const envp = new StringArray(Object.entries(env).map(([key, value]) => `${key}=${value}`));
      const result = libc.posix_spawn(
        new Uint8Array(pid.buffer),
        text(path),
        actions,
        this.#attributes(detached),
        argv.pointers,
        envp.pointers,
      );
      argv.keep();
      envp.keep();
      if (result !== 0) {
        throw new InternalError(`posix_spawn of ${path} failed: ${errnoName(result)}`, {
          errno: result,
          syscall: "posix_spawn",
          path,
        });
      }
      return pid[0] ?? -1;
    } finally {
      libc.posix_spawn_file_actions_destroy(actions);
    }
  }

  /** No signal is ignored or blocked in a child: this process ignores SIGPIPE. */
  #attributes(detached: boolean): Bytes {
    const { symbols: libc } = this.#libc;
    const attributes = new Uint8Array(STRUCT_BYTES);
    libc.posix_spawnattr_init(attributes);
    libc.posix_spawnattr_setflags(attributes, SETSIGDEF | SETSIGMASK | (detached ? SETSID : 0));
    libc.posix_spawnattr_setsigdefault(attributes, new Uint8Array(SIGSET_BYTES).fill(0xff, 0, 8));
    libc.posix_spawnattr_setsigmask(attributes, new Uint8Array(SIGSET_BYTES));
    return attributes;
  }

  /** Copies of descriptors above all positions of the child: none is overwritten before its turn. */
  #movedAbove(
    stdio: readonly (number | "null")[],
  ): { readonly numbers: readonly (number | "null")[] } & Disposable {
    const { symbols: libc } = this.#libc;
    using copies = new DisposableStack();
    const numbers = stdio.map((entry) => {
      if (entry === "null" || entry >= stdio.length) return entry;
      const copy = libc.fcntl(entry, F_DUPFD_CLOEXEC, BigInt(stdio.length));
      if (copy < 0) throw new InternalError(`Descriptor ${entry} cannot be given to a child`);
      copies.defer(() => void libc.close(copy));
      return copy;
    });
    const owned = copies.move();
    return { numbers, [Symbol.dispose]: () => owned.dispose() };
  }

  #becomeSubreaper(): void {
    this.#kernel.prctl(PR_SET_CHILD_SUBREAPER, 1n);
  }

  #adopt(pid: number, expectation: Expectation): Promise<Ending> {
    // First the living: an earlier orphan may have had the same number.
    if (this.#isChild(pid)) return this.#watch(pid);
    const ending = expectation.take(pid);
    if (ending !== undefined) return Promise.resolve(ending);
    throw new InternalError(`Process ${pid} did not come to this one when its parent ended`);
  }

  /** True for a child that has ended, too, until it is reaped. */
  #isChild(pid: number): boolean {
    const flags = WEXITED | WNOHANG | WNOWAIT;
    return this.#libc.symbols.waitid(P_PID, pid, new Uint8Array(SIGINFO_BYTES), flags) === 0;
  }

  /** Reaps every child that has ended: those started here, and those that came from elsewhere. */
  #reapAll(): void {
    const info = new Uint8Array(SIGINFO_BYTES);
    const flags = WEXITED | WNOHANG | WNOWAIT;
    for (;;) {
      info.fill(0);
      if (this.#libc.symbols.waitid(P_ALL, 0, info, flags) !== 0) return; // there are no children
      const pid = new DataView(info.buffer).getInt32(SIGINFO_PID, true);
      if (pid === 0) return;
      const own = this.#watchOf(pid);
      if (own !== undefined) {
        this.#reap(own);
        continue;
      }
      const status = new Int32Array(1);
      const reaped = this.#libc.symbols.waitpid(pid, new Uint8Array(status.buffer), WNOHANG);
      // A thread may have been faster, see #end().
      if (reaped === pid) this.#endedOrphans.add(pid, endingOf(status[0] ?? 0));
    }
  }

  /** Until it is reaped a child's pid is nobody else's. */
  #watch(pid: number): Promise<Ending> {
    const key = ++this.#lastKey;
    using undo = new DisposableStack();
    const pidfd = undo.use(this.#kernel.pidfdOpen(pid));
    this.#poll.add(pidfd.number, key);
    undo.move();
    const ended = Promise.withResolvers<Ending>();
    this.#children.set(key, { pid, pidfd, ended });
    this.#poll.keepAlive(true);
    return ended.promise;
  }

  #watchOf(pid: number): bigint | undefined {
    for (const [key, child] of this.#children) if (child.pid === pid) return key;
    return undefined;
  }

  /** Kills a child that was just started, and has it reaped. */
  #end(pid: number): void {
    this.#kernel.kill(pid, SIGKILL);
    if (this.#watchOf(pid) !== undefined) return;
    // How long a killed process takes is up to the kernel: no wait for the event loop.
    void this.#libc.symbols.waitpidOnThread(pid, new Uint8Array(STATUS_BYTES), 0);
  }

  #reap(key: bigint): void {
    const child = this.#children.get(key);
    if (child === undefined) return;
    const status = new Int32Array(1);
    const { waitpid } = this.#libc.symbols;
    if (waitpid(child.pid, new Uint8Array(status.buffer), WNOHANG) === 0) return;
    this.#children.delete(key);
    this.#poll.remove(child.pidfd.number);
    child.pidfd.close();
    if (this.#children.size === 0) this.#poll.keepAlive(false);
    child.ended.resolve(endingOf(status[0] ?? 0));
  }
}

/** `wait(2)`: the low seven bits are the signal, the byte above them the exit code. */
function endingOf(status: number): Ending {
  const signal = status & 0x7f;
  return signal === 0
    ? { exitCode: (status >> 8) & 0xff, endedBy: null }
    : { exitCode: null, endedBy: signalName(signal) };
}

function text(value: string): Bytes {
  return new TextEncoder().encode(`${value}\0`);
}

/** A null-terminated array of pointers to strings, which it keeps alive. */
class StringArray {
  readonly pointers: Bytes;
  readonly #strings: readonly Bytes[];

  constructor(values: readonly string[]) {
    this.#strings = values.map(text);
    const pointers = new BigUint64Array(values.length + 1);
    this.#strings.forEach((bytes, index) => {
      pointers[index] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    });
    this.pointers = new Uint8Array(pointers.buffer);
  }

  /** Called after the use of the pointers, so that the strings live until then. */
  keep(): number {
    return this.#strings.length;
  }
}
