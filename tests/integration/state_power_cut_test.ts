/**
 * The record when the plug is pulled: ext4 on a loop device, shut down without flushing its log
 * (EXT4_IOC_SHUTDOWN), mounted again. Needs root.
 */
import assert from "node:assert/strict";
import { DurableWriter, ImageState, PodState, RecordFiles } from "../../src/state/mod.ts";

const EXT4_IOC_SHUTDOWN = 0x8004587dn;
const EXT4_GOING_FLAGS_NOLOGFLUSH = 2;

async function run(path: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(path, { args, stdout: "null" }).output();
  assert.equal(code, 0, `${path} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Every later write to the file system fails; what was not synced is gone at the next mount. */
function pullThePlug(mountpoint: string): void {
  const libc = Deno.dlopen("libc.so.6", {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const fd = libc.symbols.open(new TextEncoder().encode(`${mountpoint}\0`), 0);
  const how = new Uint32Array([EXT4_GOING_FLAGS_NOLOGFLUSH]);
  assert.equal(libc.symbols.ioctl(fd, EXT4_IOC_SHUTDOWN, how), 0, "the shutdown was refused");
  libc.symbols.close(fd);
  libc.close();
}

class Disk implements AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync();
  readonly #image = `${this.#directory}/disk`;
  readonly mountpoint = `${this.#directory}/mnt`;

  async make(): Promise<void> {
    await Deno.mkdir(this.mountpoint);
    await Deno.writeFile(this.#image, new Uint8Array());
    await Deno.truncate(this.#image, 64 << 20);
    await run("/sbin/mkfs.ext4", "-q", this.#image);
    await this.mount();
  }

  mount(): Promise<void> {
    return run("/bin/mount", "-o", "loop", this.#image, this.mountpoint);
  }

  unmount(): Promise<void> {
    return run("/bin/umount", this.mountpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount().catch(() => {});
    await Deno.remove(this.#directory, { recursive: true });
  }
}

const value = (n: number) => ({ n, text: "x".repeat(1500) });

Deno.test("after a power cut every acknowledged image and layer is there, and pods are whole", async () => {
  await using disk = new Disk();
  await disk.make();
  const root = disk.mountpoint;
  const layers = new RecordFiles({ directory: `${root}/layers`, kind: "layer", durable: true });
  const acknowledged = new Set<string>();
  {
    const writer = new DurableWriter();
    const pods = PodState.open({ path: `${root}/pods.db`, bootId: "a", checkpointer: writer });
    const images = await ImageState.open({ path: `${root}/images.db`, bootId: "a", writer });
    await images.rebuilt();
    const writing = (async () => {
      for (let n = 0;; n++) {
        await images.images.put(`i${n}`, value(n));
        acknowledged.add(`i${n}`);
        pods.transaction((inside) => {
          inside.sandboxes.put(`s${n}`, value(n));
          inside.journal.intend(`s${n}`, "k", {});
        });
        if (n % 100 === 0) await layers.write({ id: `l${n}`, value: value(n), resources: [] });
        if (n % 150 === 0) await writer.checkpoint(pods.path);
      }
    })();
    const ended = writing.catch((error: unknown) => error);
    while (acknowledged.size < 500) await new Promise((resolve) => setTimeout(resolve, 1));
    pullThePlug(root);
    assert.ok(await ended instanceof Error, "writing went on without a disk");
    await pods[Symbol.asyncDispose]();
    await writer[Symbol.asyncDispose]().catch(() => {});
  }
  await disk.unmount();
  await disk.mount();

  await using writer = new DurableWriter();
  const images = await ImageState.open({ path: `${root}/images.db`, bootId: "b", writer });
  assert.equal(images.origin.kind, "existing");
  const found = new Set(images.images.all().map(({ id }) => id));
  assert.deepEqual([...acknowledged].filter((id) => !found.has(id)), []);
  for (let n = 0; n < 500; n += 100) {
    assert.deepEqual((await layers.read(`l${n}`))?.value, value(n), "a durable record file");
  }
  // The pods' last commits may be gone, but what is there is whole and without gaps.
  await using pods = PodState.open({ path: `${root}/pods.db`, bootId: "b" });
  assert.equal(pods.origin.kind, "existing");
  const sandboxes = pods.sandboxes.all();
  const owners = await pods.journal.owners();
  assert.deepEqual(owners.toSorted(), sandboxes.map(({ id }) => id).toSorted());
  for (let n = 0; n < sandboxes.length; n++) {
    assert.deepEqual(pods.sandboxes.get(`s${n}`), value(n));
  }
});
