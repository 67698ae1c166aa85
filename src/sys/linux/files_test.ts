import assert from "node:assert/strict";
import { InvalidArgumentError, isErrno } from "../../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RENAME_NOREPLACE,
  RESOLVE_IN_ROOT,
} from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";
import { withRoot } from "../_test_root.ts";

const kernel = createLinuxKernel();
const encoded = (value: string) => new TextEncoder().encode(value);

Deno.test("files are made, written, read, linked, renamed, stated and removed", () =>
  withRoot((root) => {
    using dir = kernel.open(root, O_RDONLY | O_DIRECTORY);
    {
      using file = kernel.openat(dir.number, "a", O_WRONLY | O_CREAT | O_EXCL, 0o640);
      assert.equal(kernel.write(file.number, encoded("hello")), 5);
      kernel.fchmod(file.number, 0o4711);
      kernel.fsync(file.number);
      kernel.ftruncate(file.number, 4n);
      kernel.fallocate(file.number, 0, 0n, 8192n);
    }
    kernel.utimensat(dir.number, "a", null, { seconds: 1_234_567_890n, nanoseconds: 5 }, 0);
    const stat = kernel.statx(dir.number, "a", AT_SYMLINK_NOFOLLOW);
    assert.equal(stat.type, "file");
    assert.equal(stat.mode, 0o4711);
    assert.equal(stat.size, 8192n);
    assert.equal(stat.mtimeNs, 1_234_567_890_000_000_005n);
    assert.equal(stat.nlink, 1);
    const real = Deno.lstatSync(`${root}/a`);
    assert.equal(stat.inode, BigInt(real.ino ?? -1));
    assert.equal(stat.uid, real.uid);
    {
      using file = kernel.openat(dir.number, "a", O_RDONLY);
      const buffer = new Uint8Array(3);
      assert.equal(kernel.read(file.number, buffer), 3);
      assert.equal(new TextDecoder().decode(buffer), "hel");
      assert.equal(kernel.pread(file.number, buffer.subarray(1), 3n), 2);
      assert.deepEqual([...buffer], [0x68, 0x6c, 0]);
      assert.equal(kernel.statx(file.number, "", AT_EMPTY_PATH).inode, stat.inode);
    }
    {
      using from = kernel.openat(dir.number, "a", O_RDONLY);
      using to = kernel.openat(dir.number, "c", O_WRONLY | O_CREAT | O_EXCL, 0o600);
      assert.equal(kernel.copyFileRange(from.number, to.number, 3), 3);
      assert.equal(Deno.readTextFileSync(`${root}/c`), "hel");
      Deno.removeSync(`${root}/c`);
    }
    kernel.linkat(dir.number, "a", dir.number, "b", 0);
    kernel.symlinkat("a", dir.number, "l");
    assert.equal(kernel.readlinkat(dir.number, "l"), "a");
    kernel.mkdirat(dir.number, "d", 0o755);
    kernel.mknodat(dir.number, "p", "fifo", 0o600, { major: 0, minor: 0 });
    assert.throws(
      () => kernel.renameat2(dir.number, "a", dir.number, "b", RENAME_NOREPLACE),
      (error) => isErrno(error, "EEXIST"),
    );
    const entries = kernel.readdir(dir.number).map(({ name, type }) => `${name}:${type}`).sort();
    assert.deepEqual(entries, ["a:file", "b:file", "d:directory", "l:symlink", "p:fifo"]);
    assert.equal(kernel.readdir(dir.number).length, 5, "a second read starts again");
  }));

Deno.test("a large directory is read completely", () =>
  withRoot((root) => {
    for (let i = 0; i < 3000; i++) Deno.writeFileSync(`${root}/file-number-${i}`, new Uint8Array());
    using dir = kernel.open(root, O_RDONLY | O_DIRECTORY);
    assert.equal(new Set(kernel.readdir(dir.number).map(({ name }) => name)).size, 3000);
  }));

Deno.test("names that are not UTF-8 are made, listed and removed", () =>
  withRoot((root) => {
    using dir = kernel.open(root, O_RDONLY | O_DIRECTORY);
    const name = "caf\udce9";
    kernel.openat(dir.number, name, O_WRONLY | O_CREAT, 0o600).close();
    assert.deepEqual(kernel.readdir(dir.number), [{ name, type: "file" }]);
    kernel.unlinkat(dir.number, name, 0);
    assert.deepEqual(kernel.readdir(dir.number), []);
  }));

Deno.test("openat2 keeps a hostile link inside the root", () =>
  withRoot((root) => {
    Deno.symlinkSync("/etc/passwd", `${root}/link`);
    using dir = kernel.open(root, O_PATH | O_DIRECTORY);
    assert.throws(
      () => kernel.openat2(dir.number, "link", { flags: O_RDONLY, resolve: RESOLVE_IN_ROOT }),
      (error) => isErrno(error, "ENOENT"),
    );
    assert.throws(
      () => kernel.openat2(dir.number, "a\0b", { flags: O_RDONLY }),
      InvalidArgumentError,
    );
  }));
