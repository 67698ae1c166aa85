import assert from "node:assert/strict";
import { InvalidArgumentError, isErrno, ResourceExhaustedError } from "../errors/mod.ts";
import { createLinuxKernel } from "./linux.ts";
import { RootDir } from "./root_dir.ts";
import { removeTree } from "./tree.ts";

const kernel = createLinuxKernel();
const encoded = (value: string) => new TextEncoder().encode(value);
const decoded = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

/** A root beside a file outside that hostile links aim at. */
async function withRoot(test: (root: string, outside: string) => void): Promise<void> {
  const base = await Deno.makeTempDir({ prefix: "sauropod-root-" });
  try {
    await Deno.mkdir(`${base}/root`);
    await Deno.mkdir(`${base}/outside`);
    await Deno.writeTextFile(`${base}/outside/secret`, "secret");
    test(`${base}/root`, `${base}/outside`);
    assert.equal(await Deno.readTextFile(`${base}/outside/secret`), "secret");
    assert.equal([...Deno.readDirSync(`${base}/outside`)].length, 1);
  } finally {
    await Deno.remove(base, { recursive: true });
  }
}

Deno.test("links in a root lead to places in the root, never outside", () =>
  withRoot((root, outside) => {
    Deno.symlinkSync(`${outside}/secret`, `${root}/absolute`);
    Deno.symlinkSync("../outside/secret", `${root}/relative`);
    Deno.symlinkSync("/proc/self/root/etc/passwd", `${root}/magic`);
    Deno.symlinkSync("loop", `${root}/loop`);
    using dir = RootDir.open(kernel, root);
    for (const path of ["absolute", "relative", "/magic", "loop", "../outside/secret"]) {
      assert.equal(dir.readFile(path, 100), undefined, path);
      assert.equal(dir.stat(path), undefined, path);
    }
    Deno.mkdirSync(`${root}/etc`);
    Deno.writeTextFileSync(`${root}/etc/passwd`, "inside");
    Deno.symlinkSync("/etc/passwd", `${root}/inside`);
    assert.equal(decoded(dir.readFile("inside", 100)), "inside");
    assert.equal(decoded(dir.readFile("../../../etc/passwd", 100)), "inside");
  }));

Deno.test("a read has a limit, also of a sparse file, and takes regular files only", () =>
  withRoot((root) => {
    Deno.writeTextFileSync(`${root}/five`, "12345");
    const big = Deno.openSync(`${root}/big`, { write: true, create: true });
    big.truncateSync(1 << 30);
    big.close();
    using fifo = kernel.open(root, 0);
    kernel.mknodat(fifo.number, "fifo", "fifo", 0o600, { major: 0, minor: 0 });
    using dir = RootDir.open(kernel, root);
    assert.equal(decoded(dir.readFile("five", 5)), "12345");
    assert.throws(() => dir.readFile("five", 4), ResourceExhaustedError);
    assert.throws(() => dir.readFile("big", 1000), ResourceExhaustedError);
    // As large as an image could make its passwd file for nothing.
    Deno.writeTextFileSync(`${root}/passwd`, "");
    Deno.truncateSync(`${root}/passwd`, 10 * 2 ** 30);
    assert.throws(() => dir.readFile("passwd", 1 << 20), ResourceExhaustedError);
    assert.throws(() => dir.readFile("fifo", 1000), InvalidArgumentError);
    assert.throws(() => dir.readFile("/", 1000), InvalidArgumentError);
  }));

Deno.test("makeDirectories() makes what is missing, below links too, with the mode given", () =>
  withRoot((root, outside) => {
    Deno.mkdirSync(`${root}/real`);
    Deno.symlinkSync("/real", `${root}/link`);
    Deno.symlinkSync(outside, `${root}/out`);
    using dir = RootDir.open(kernel, root);
    dir.makeDirectories("/link/a/b/", { mode: 0o1777 }).close();
    assert.equal(Deno.statSync(`${root}/real/a/b`).mode! & 0o7777, 0o1777);
    dir.makeDirectories("link/a/b", { mode: 0o700 }).close();
    assert.equal(Deno.statSync(`${root}/real/a/b`).mode! & 0o7777, 0o1777, "left as it was");
    assert.throws(() => dir.makeDirectories("out/x", { mode: 0o755 }), (e) => isErrno(e, "ENOENT"));
    Deno.writeTextFileSync(`${root}/file`, "");
    assert.throws(
      () => dir.makeDirectories("file/x", { mode: 0o755 }),
      (e) => isErrno(e, "ENOTDIR"),
    );
  }));

Deno.test("createFile() and createSymlink() never write through what is there", () =>
  withRoot((root, outside) => {
    Deno.symlinkSync(`${outside}/secret`, `${root}/hosts`);
    Deno.symlinkSync(`${outside}/new`, `${root}/dangling`);
    using dir = RootDir.open(kernel, root);
    for (const path of ["hosts", "/dangling"]) {
      assert.throws(
        () => dir.createFile(path, encoded("x"), { mode: 0o644 }),
        (e) => isErrno(e, "EEXIST"),
      );
    }
    dir.createFile("fresh", encoded("content"), { mode: 0o4666 });
    assert.equal(Deno.readTextFileSync(`${root}/fresh`), "content");
    assert.equal(Deno.statSync(`${root}/fresh`).mode! & 0o7777, 0o4666);
    dir.createSymlink("mtab", "/proc/mounts");
    assert.equal(Deno.readLinkSync(`${root}/mtab`), "/proc/mounts");
    assert.throws(() => dir.createFile("a/..", encoded(""), { mode: 0o644 }));
  }));

Deno.test("removeTree() removes links and not their targets", () =>
  withRoot((root, outside) => {
    Deno.mkdirSync(`${root}/t/sub`, { recursive: true });
    Deno.symlinkSync(outside, `${root}/t/sub/out`);
    Deno.symlinkSync("t", `${root}/link`);
    using dir = RootDir.open(kernel, root);
    dir.removeTree("link");
    assert.ok(Deno.statSync(`${root}/t/sub`).isDirectory);
    dir.removeTree("t");
    dir.removeTree("t");
    dir.removeTree("no/such/thing");
    assert.deepEqual([...Deno.readDirSync(root)], []);
  }));

Deno.test("a tree of any depth is removed with few descriptors", () =>
  withRoot((root) => {
    let fd = kernel.open(root, 0);
    for (let depth = 0; depth < 3000; depth++) {
      kernel.mkdirat(fd.number, "deeper", 0o755);
      if (depth % 500 === 0) kernel.symlinkat("/etc", fd.number, "x");
      const next = kernel.openat(fd.number, "deeper", 0);
      fd.close();
      fd = next;
    }
    fd.close();
    removeTree(kernel, `${root}/deeper`);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["x"]);
  }));
