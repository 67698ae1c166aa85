/**
 * Processes by identity: a pid together with its start time and boot, so that a recycled pid is
 * never taken for the process meant.
 *
 * @module
 */
import { InternalError, isErrno } from "../errors/mod.ts";
import { O_RDONLY } from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
import type { ProcessIdentity, ProcessTable } from "./watching.ts";

export interface ProcTableOptions {
  /** Where procfs is mounted. Default `/proc`. */
  readonly procRoot?: string;
  /** Instead of the kernel's, so that tests can stage a reboot. */
  readonly bootId?: string;
}

/** The parts of /proc/PID/stat (proc(5)) used here. */
export interface ProcessStat {
  /** One letter: `R`, `S`, `D`, `T`, `Z`, `X`. */
  readonly state: string;
  readonly parent: number;
  readonly processGroup: number;
  readonly session: number;
  /** Clock ticks since boot. */
  readonly startTime: string;
}

/** Fields after the command name, which stands in parentheses and may itself hold any of them. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, processGroup, session] = fields;
  const startTime = fields[19];
  if (state === undefined || startTime === undefined || !/^[0-9]+$/.test(startTime)) {
    return undefined;
  }
  return {
    state,
    parent: Number(parent),
    processGroup: Number(processGroup),
    session: Number(session),
    startTime,
  };
}

/**
 * Whether a signal is in the masks of those blocked, ignored or caught, of /proc/PID/status (proc(5)).
 * One that is blocked waits until it is not, also where nothing handles it yet.
 */
export function isHeeded(status: string, signal: number): boolean {
  const masks = [...status.matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]{1,32})$/gm)];
  return masks.some(([, mask]) => (BigInt(`0x${mask}`) >> BigInt(signal - 1) & 1n) === 1n);
}

/** {@link ProcessTable} over procfs and pidfds. */
export class ProcTable implements ProcessTable {
  readonly bootId: string;
  readonly #kernel: Kernel;
  readonly #procRoot: string;

  constructor(kernel: Kernel, options: ProcTableOptions = {}) {
    this.#kernel = kernel;
    this.#procRoot = options.procRoot ?? "/proc";
    this.bootId = options.bootId ?? readBootId(this.#procRoot);
  }

  /**
   * What procfs says of a process, zombies included; undefined if there is none.
   *
   * @throws {SyscallError} it cannot be read, such as EMFILE
   */
  stat(pid: number): ProcessStat | undefined {
    if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
    const text = this.#read(pid, "stat");
    return text === undefined ? undefined : parseProcessStat(text);
  }

  identify(pid: number): ProcessIdentity | undefined {
    const stat = this.stat(pid);
    if (stat === undefined || stat.state === "Z" || stat.state === "X") return undefined;
    return { pid, startTime: stat.startTime, bootId: this.bootId };
  }

  isAlive(process: ProcessIdentity): boolean {
    return process.bootId === this.bootId &&
      this.identify(process.pid)?.startTime === process.startTime;
  }

  signal(process: ProcessIdentity, signal: number): boolean {
    if (!this.isAlive(process)) return false;
    try {
      using pidfd = this.#kernel.pidfdOpen(process.pid);
      // Between the first look and the pidfd the pid may have been recycled; not after it.
      if (!this.isAlive(process)) return false;
      this.#kernel.pidfdSendSignal(pidfd.number, signal);
      return true;
    } catch (error) {
      if (isErrno(error, "ESRCH")) return false;
      throw error;
    }
  }

  heeds(process: ProcessIdentity, signal: number): boolean {
    const status = this.#read(process.pid, "status");
    return status === undefined || isHeeded(status, signal) || !this.isAlive(process);
  }

  /** A file of a process; undefined if the process is gone, also while it is read. */
  #read(pid: number, name: "stat" | "status"): string | undefined {
    try {
      using file = this.#kernel.open(`${this.#procRoot}/${pid}/${name}`, O_RDONLY);
      return readAll(this.#kernel, file);
    } catch (error) {
      // Any other failure says nothing of the process: one that runs must not be taken for ended.
      if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
      throw error;
    }
  }
}

function readAll(kernel: Kernel, file: Fd): string {
  const chunk = new Uint8Array(4096);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const length = kernel.read(file.number, chunk);
    if (length === 0) return text + decoder.decode();
    text += decoder.decode(chunk.subarray(0, length), { stream: true });
  }
}

function readBootId(procRoot: string): string {
  const id = Deno.readTextFileSync(`${procRoot}/sys/kernel/random/boot_id`).trim();
  if (!/^[0-9a-f-]{36}$/.test(id)) {
    throw new InternalError("The kernel's boot id is not a UUID", { value: id });
  }
  return id;
}
