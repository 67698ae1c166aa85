import assert from "node:assert/strict";
import { DeadlineExceededError, FailedPreconditionError } from "../../src/errors/mod.ts";
import {
  bindMount,
  createLinuxKernel,
  ForeignPaths,
  isMountPoint,
  mountsBelow,
  NodeProcessRunner,
  O_RDWR,
  removeTree,
  RootDir,
  unmount,
  unmountBelow,
} from "../../src/sys/mod.ts";

const kernel = createLinuxKernel();

async function withRoot(test: (root: string) => void | Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sauropod-mounts-" });
  try {
    await test(root);
  } finally {
    unmountBelow(kernel, root);
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("bind mounts are private, read-only where wanted, and unmounted once", () =>
  withRoot((root) => {
    Deno.mkdirSync(`${root}/source with space`);
    Deno.mkdirSync(`${root}/target\\odd`);
    Deno.writeTextFileSync(`${root}/source with space/file`, "x");
    const target = `${root}/target\\odd`;
    bindMount(kernel, `${root}/source with space`, target, { readOnly: true });
    const [entry] = mountsBelow(target);
    assert.equal(entry?.mountPoint, target);
    assert.deepEqual(entry?.propagation, []);
    assert.ok(entry?.options.includes("ro"));
    assert.throws(() => Deno.writeTextFileSync(`${target}/file`, "y"), /Read-only/);
    Deno.writeTextFileSync(`${root}/source with space/file`, "z");
    assert.equal(unmount(kernel, target), true);
    assert.equal(unmount(kernel, target), false);
    assert.equal(unmount(kernel, `${root}/none`), false);
    assert.equal(isMountPoint(target), false);
  }));

Deno.test("a busy mount is taken away lazily; stacked ones all", () =>
  withRoot((root) => {
    Deno.mkdirSync(`${root}/m`);
    kernel.mount("tmpfs", `${root}/m`, "tmpfs", 0n, "size=1m");
    Deno.mkdirSync(`${root}/m/inner`);
    kernel.mount("tmpfs", `${root}/m/inner`, "tmpfs", 0n, null);
    kernel.mount("tmpfs", `${root}/m`, "tmpfs", 0n, null);
    using _busy = kernel.open(`${root}/m`, 0);
    unmountBelow(kernel, `${root}/m`);
    assert.deepEqual(mountsBelow(root), []);
  }));

Deno.test("removing a tree stops at a mount and never enters it", () =>
  withRoot((root) => {
    Deno.mkdirSync(`${root}/tree/volume`, { recursive: true });
    Deno.mkdirSync(`${root}/data`);
    Deno.writeTextFileSync(`${root}/data/precious`, "x");
    bindMount(kernel, `${root}/data`, `${root}/tree/volume`);
    assert.throws(() => removeTree(kernel, `${root}/tree`), FailedPreconditionError);
    using dir = RootDir.open(kernel, root);
    assert.throws(() => dir.removeTree("tree"), FailedPreconditionError);
    assert.equal(Deno.readTextFileSync(`${root}/data/precious`), "x");
    unmount(kernel, `${root}/tree/volume`);
    removeTree(kernel, `${root}/tree`);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["data"]);
  }));

Deno.test("paths on a file system that never answers are given up, others still answered", () =>
  withRoot(async (root) => {
    const runner = new NodeProcessRunner();
    const paths = new ForeignPaths({ kernel, runner, timeoutMs: 500 });
    Deno.mkdirSync(`${root}/dead`);
    // A FUSE file system whose server, this test, answers nothing.
    using device = kernel.open("/dev/fuse", O_RDWR);
    const data = `fd=${device.number},rootmode=40000,user_id=0,group_id=0`;
    kernel.mount("dead", `${root}/dead`, "fuse", 0n, data);
    await assert.rejects(paths.stat(`${root}/dead/x`), DeadlineExceededError);
    await assert.rejects(paths.makeDirectory(`${root}/dead/x`), DeadlineExceededError);
    assert.equal((await paths.stat(root))?.type, "directory");
  }));

Deno.test("foreign paths are looked at and made, from the cache and from the disk", () =>
  withRoot(async (root) => {
    const runner = new NodeProcessRunner();
    const paths = new ForeignPaths({ kernel, runner, timeoutMs: 20_000 });
    await paths.makeDirectory(`${root}/a b/c\nd`, 0o700);
    Deno.symlinkSync(`${root}/a b`, `${root}/-link`);
    const expected = {
      type: "directory",
      mode: 0o700,
      uid: 0,
      gid: 0,
      realPath: `${root}/a b/c\nd`,
    };
    assert.deepEqual(await paths.stat(`${root}/-link/c\nd`), expected);
    assert.equal(await paths.stat(`${root}/none`), undefined);
    assert.equal(await paths.stat("/etc/passwd/x"), undefined);
    Deno.writeTextFileSync("/proc/sys/vm/drop_caches", "2");
    assert.deepEqual(await paths.stat(`${root}/-link/c\nd`), expected);
    assert.equal(await paths.stat(`${root}/nothing`), undefined);
    await assert.rejects(paths.makeDirectory("/etc/passwd/x"), FailedPreconditionError);
    assert.equal((await paths.stat("/dev/null"))?.type, "char");
  }));
