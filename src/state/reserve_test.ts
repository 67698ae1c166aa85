import assert from "node:assert/strict";
import { ResourceExhaustedError, SyscallError } from "../errors/mod.ts";
import { createLinuxKernel, type FileSystemStat } from "../sys/mod.ts";
import { type ReserveKernel, type ReserveOptions, SpaceReserve } from "./reserve.ts";

const MIB = 1 << 20;

/** The real kernel, except for how much room it says there is. */
class Bench implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly path = `${this.directory}/reserve`;
  available: Partial<FileSystemStat> = {};
  readonly kernel: ReserveKernel;

  constructor() {
    const linux = createLinuxKernel();
    this.kernel = {
      open: (path, flags, mode) => linux.open(path, flags, mode),
      fallocate: (fd, mode, offset, length) => linux.fallocate(fd, mode, offset, length),
      ftruncate: (fd, length) => linux.ftruncate(fd, length),
      statx: (fd, path, flags) => linux.statx(fd, path, flags),
      write: (fd, bytes) => linux.write(fd, bytes),
      fstatfs: (fd) => ({ ...linux.fstatfs(fd), ...this.available }),
    };
  }

  reserve(more: Partial<ReserveOptions> = {}): SpaceReserve {
    return new SpaceReserve({ path: this.path, kernel: this.kernel, ...more });
  }

  has(bytes: number): void {
    this.available = { blockSize: 1n, blocksAvailable: BigInt(bytes) };
  }

  allocated(): number {
    return (Deno.statSync(this.path).blocks ?? 0) * 512;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("the reserve takes real blocks, gives them back once, and takes them again", () => {
  using bench = new Bench();
  using reserve = bench.reserve();
  assert.ok(bench.allocated() >= 8 * MIB);
  assert.equal(reserve.release(), true);
  assert.equal(bench.allocated(), 0);
  assert.equal(reserve.release(), false);
  assert.equal(reserve.report().full, true, "in use");
  reserve.assertSpace("Creating a container");
  assert.ok(bench.allocated() >= 8 * MIB);
  assert.equal(reserve.report().full, false);
});

Deno.test("a reserve of an earlier start is kept", () => {
  using bench = new Bench();
  bench.reserve()[Symbol.dispose]();
  bench.has(4 * MIB);
  using reserve = bench.reserve();
  assert.equal(reserve.report().reserve, "held");
});

Deno.test("below the floor of bytes or inodes new things are refused, with numbers", () => {
  using bench = new Bench();
  using reserve = bench.reserve();
  bench.has(15 * MIB);
  assert.throws(
    () => reserve.assertSpace("Pulling an image"),
    (error: ResourceExhaustedError) =>
      error instanceof ResourceExhaustedError &&
      error.message.startsWith(`Pulling an image needs disk space: ${15 * MIB} bytes`),
  );
  bench.has(17 * MIB);
  reserve.assertSpace("Pulling an image");
  bench.available = { ...bench.available, files: 1000n, filesFree: 10n };
  assert.throws(() => reserve.assertSpace("Pulling an image"), ResourceExhaustedError);
  bench.available = { ...bench.available, files: 0n, filesFree: 0n };
  reserve.assertSpace("Pulling an image");
});

Deno.test("a released reserve is filled again only above floor and size together", () => {
  using bench = new Bench();
  using reserve = bench.reserve();
  reserve.release();
  bench.has(23 * MIB);
  assert.throws(() => reserve.assertSpace("Pulling an image"), ResourceExhaustedError);
  bench.has(25 * MIB);
  reserve.assertSpace("Pulling an image");
});

Deno.test("a file system without fallocate gets its blocks by writing", () => {
  using bench = new Bench();
  bench.kernel.fallocate = () => {
    throw new SyscallError("fallocate", 95, "EOPNOTSUPP", "of the reserve");
  };
  using reserve = bench.reserve();
  assert.equal(reserve.report().reserve, "held");
  assert.ok(bench.allocated() >= 8 * MIB);
  reserve.release();
  reserve.assertSpace("Creating a container");
  assert.ok(bench.allocated() >= 8 * MIB, "again from the beginning of the file");
});

Deno.test("releasing() repeats what failed for want of space, and nothing else", async () => {
  using bench = new Bench();
  using reserve = bench.reserve();
  let calls = 0;
  await assert.rejects(reserve.releasing(() => {
    calls++;
    return Promise.reject(new Error("other"));
  }));
  assert.equal(calls, 1);
  await reserve.releasing(() =>
    ++calls === 2
      ? Promise.reject(Object.assign(new Error("No space left on device"), { code: "ENOSPC" }))
      : Promise.resolve()
  );
  assert.equal(calls, 3);
  assert.equal(reserve.report().reserve, "released");
});
