/**
 * Space kept back for the moment when the disk is full: a file of real blocks in the root directory,
 * emptied so that Stop, Remove and RemoveImage can still write their records at 0 bytes free.
 *
 * @module
 */
import { isErrno, ResourceExhaustedError } from "../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  type Fd,
  type Kernel,
  O_APPEND,
  O_CREAT,
  O_NOFOLLOW,
  O_RDWR,
} from "../sys/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import { isDiskFull } from "./_sqlite_errors.ts";
import type { SpaceReleaser } from "./pod_records.ts";

export type ReserveKernel = Pick<
  Kernel,
  "open" | "fallocate" | "ftruncate" | "fstatfs" | "statx" | "write"
>;

export interface ReserveOptions {
  /** The reserve file, on the file system of the root directory: `<root>/reserve`. */
  readonly path: string;
  readonly kernel: ReserveKernel;
  /** 8 MiB by default: several thousand commits. */
  readonly sizeBytes?: number;
  /**
   * With less than this available, create and pull are refused; 16 MiB by default. Not a share of the
   * disk: the kubelet evicts at 10 to 15 %, this is only for what it was too late for.
   */
  readonly floorBytes?: number;
  /** The same for inodes; 256 by default. File systems that do not count them are not asked. */
  readonly floorInodes?: number;
  readonly log?: Logger;
}

/** What `check` and the status show. */
export interface SpaceReport {
  /** True if create and pull are refused. */
  readonly full: boolean;
  readonly reserve: "held" | "released";
  readonly availableBytes: bigint;
  /** Null where the file system does not count them. */
  readonly availableInodes: bigint | null;
}

/** What SQLite needs for the -shm and -wal files of two databases, amply. */
const OPENING_BYTES = 1n << 20n;

export class SpaceReserve implements SpaceReleaser, Disposable {
  readonly #options: ReserveOptions;
  readonly #file: Fd;
  readonly #sizeBytes: bigint;
  readonly #floorBytes: bigint;
  readonly #floorInodes: bigint;
  readonly #log: Logger;
  #held: boolean;

  /**
   * Opens the reserve file and fills it if there is room. On a full disk it is released at once:
   * opening the databases needs some space, too.
   *
   * @throws {SyscallError} the file cannot be opened
   */
  constructor(options: ReserveOptions) {
    this.#options = options;
    this.#sizeBytes = BigInt(options.sizeBytes ?? 8 << 20);
    this.#floorBytes = BigInt(options.floorBytes ?? 16 << 20);
    this.#floorInodes = BigInt(options.floorInodes ?? 256);
    this.#log = options.log ?? silentLogger;
    this.#file = options.kernel.open(options.path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
    const stat = options.kernel.statx(this.#file.number, "", AT_EMPTY_PATH);
    this.#held = stat.blocks512 * 512n >= this.#sizeBytes;
    if (this.#held && this.report().availableBytes < OPENING_BYTES) this.release();
    this.#holdIfRoom();
  }

  /** Empties the reserve. @returns false if it was empty already */
  release(): boolean {
    if (!this.#held) return false;
    this.#options.kernel.ftruncate(this.#file.number, 0n);
    this.#held = false;
    this.#log.error("The disk is full: the reserve was released", { path: this.#options.path });
    return true;
  }

  /**
   * For what needs new space: create, pull, load. Fills the reserve again when there is room.
   *
   * @param what the operation refused, as the beginning of a sentence
   * @throws {ResourceExhaustedError} less than the floor is available, or the reserve is in use
   */
  assertSpace(what: string): void {
    this.#holdIfRoom();
    const { full, availableBytes, availableInodes } = this.report();
    if (!full) return;
    throw new ResourceExhaustedError(
      `${what} needs disk space: ${availableBytes} bytes and ${
        availableInodes ?? "uncounted"
      } inodes are available on the file system of ${this.#options.path}`,
      {
        path: this.#options.path,
        code: "ENOSPC",
        remedy: "remove containers and images, or give the file system more room",
      },
    );
  }

  report(): SpaceReport {
    const stat = this.#options.kernel.fstatfs(this.#file.number);
    const availableBytes = stat.blocksAvailable * stat.blockSize;
    const availableInodes = stat.files > 0n ? stat.filesFree : null;
    const full = !this.#held || availableBytes < this.#floorBytes ||
      (availableInodes !== null && availableInodes < this.#floorInodes);
    return { full, reserve: this.#held ? "held" : "released", availableBytes, availableInodes };
  }

  /** Runs what frees space (stop, remove); if the disk is full, once more with the reserve released. */
  async releasing<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (!isDiskFull(error) || !this.release()) throw error;
      return await act();
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #holdIfRoom(): void {
    if (this.#held) return;
    const { kernel } = this.#options;
    const { availableBytes } = this.report();
    if (availableBytes < this.#floorBytes + this.#sizeBytes) return;
    try {
      allocate(kernel, this.#file.number, this.#sizeBytes);
      this.#held = true;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      kernel.ftruncate(this.#file.number, 0n);
    }
  }
}

function allocate(kernel: ReserveKernel, fd: number, sizeBytes: bigint): void {
  try {
    kernel.fallocate(fd, 0, 0n, sizeBytes);
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
    // Such as NFS and old file systems: blocks come only with data.
    const block = new Uint8Array(1 << 20);
    for (let written = 0n; written < sizeBytes;) written += BigInt(kernel.write(fd, block));
  }
}
