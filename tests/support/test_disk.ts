/**
 * A small ext4 file system of a test's own on a loop device, that can be full and lose its power.
 *
 * @module
 */
import assert from "node:assert/strict";

const EXT4_IOC_SHUTDOWN = 0x8004587dn;
const EXT4_GOING_FLAGS_NOLOGFLUSH = 2;

export class TestDisk implements AsyncDisposable {
  readonly mountpoint: string;
  readonly #directory: string;
  readonly #image: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#image = `${directory}/disk`;
    this.mountpoint = `${directory}/mnt`;
  }

  static async make(sizeBytes: number): Promise<TestDisk> {
    const disk = new TestDisk(await Deno.makeTempDir({ prefix: "sauropod-disk-" }));
    await Deno.mkdir(disk.mountpoint);
    await Deno.writeFile(disk.#image, new Uint8Array());
    await Deno.truncate(disk.#image, sizeBytes);
    await run("/sbin/mkfs.ext4", "-q", "-m", "0", disk.#image);
    await disk.mount();
    return disk;
  }

  /** A folder on it that a server can take for its root. */
  get root(): string {
    return `${this.mountpoint}/root`;
  }

  mount(): Promise<void> {
    return run("/bin/mount", "-o", "loop", this.#image, this.mountpoint);
  }

  unmount(): Promise<void> {
    return run("/bin/umount", this.mountpoint);
  }

  availableBytes(): number {
    const { stdout } = new Deno.Command("stat", {
      args: ["-f", "-c", "%a %S", this.mountpoint],
    }).outputSync();
    const [blocks = 0, size = 0] = new TextDecoder().decode(stdout).trim().split(" ").map(Number);
    return blocks * size;
  }

  /** Writes until not one byte more fits. Disposing gives the space back. */
  async fill(): Promise<AsyncDisposable> {
    const path = `${this.mountpoint}/filler-${crypto.randomUUID()}`;
    using file = await Deno.open(path, { write: true, createNew: true });
    for (const size of [1 << 20, 4096, 1]) {
      const block = new Uint8Array(size);
      try {
        for (;;) await file.write(block);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "ENOSPC");
      }
    }
    await file.sync();
    return { [Symbol.asyncDispose]: () => Deno.remove(path) };
  }

  /** Every later write fails; what was not synced is gone when it is mounted again. */
  pullThePlug(): void {
    const libc = Deno.dlopen("libc.so.6", {
      open: { parameters: ["buffer", "i32"], result: "i32" },
      ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
      close: { parameters: ["i32"], result: "i32" },
    });
    const fd = libc.symbols.open(new TextEncoder().encode(`${this.mountpoint}\0`), 0);
    const how = new Uint32Array([EXT4_GOING_FLAGS_NOLOGFLUSH]);
    const result = libc.symbols.ioctl(fd, EXT4_IOC_SHUTDOWN, how);
    libc.symbols.close(fd);
    libc.close();
    assert.equal(result, 0, "the shutdown was refused");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A server killed a moment ago may hold it a little longer.
    await run("/bin/umount", "-l", this.mountpoint).catch(() => {});
    await Deno.remove(this.#directory, { recursive: true });
  }
}

async function run(path: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(path, { args, stdout: "null" }).output();
  assert.equal(code, 0, `${path} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
