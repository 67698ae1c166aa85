import assert from "node:assert/strict";
import { InvalidArgumentError, isErrno, SyscallError } from "../errors/mod.ts";
import {
  AF_UNIX,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  EPOLLIN,
  LOCK_EX,
  LOCK_NB,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  RENAME_NOREPLACE,
  RESOLVE_IN_ROOT,
  SOCK_STREAM,
} from "./constants.ts";
import { createLinuxKernel } from "./linux.ts";
import { lockDirectory } from "./lock.ts";
import { failWith, recordingKernel } from "./recording.ts";
import { signalName } from "./signals.ts";

const kernel = createLinuxKernel();
const encoded = (value: string) => new TextEncoder().encode(value);

async function withRoot(test: (root: string) => void | Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sauropod-sys-" });
  try {
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("a failed call tells syscall, subject, errno and kind", () => {
  assert.throws(() => kernel.open("/no/such/file", O_RDONLY), (error: SyscallError) => {
    assert.ok(error instanceof SyscallError);
    assert.equal(error.message, 'open "/no/such/file": ENOENT');
    assert.equal(error.errno, 2);
    assert.equal(error.kind, "not_found");
    return true;
  });
});

Deno.test("descriptors are close-on-exec, close once, and can be given away", () => {
  const fd = kernel.open("/dev/null", O_RDWR);
  const flags = /^flags:\s+(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd.number}`))
    ?.[1];
  assert.equal(parseInt(flags ?? "", 8) & 0o2000000, 0o2000000);
  fd.close();
  fd.close();
  assert.equal(fd.closed, true);
  assert.throws(() => fd.release(), SyscallError);
});

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

Deno.test("extended attributes are set, read and listed; a missing one is undefined", () =>
  withRoot((root) => {
    Deno.writeTextFileSync(`${root}/a`, "");
    kernel.lsetxattr(`${root}/a`, "user.sauropod", encoded("v\0w"));
    assert.deepEqual(kernel.lgetxattr(`${root}/a`, "user.sauropod"), encoded("v\0w"));
    assert.equal(kernel.lgetxattr(`${root}/a`, "user.none"), undefined);
    assert.ok(kernel.llistxattr(`${root}/a`).includes("user.sauropod"));
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

Deno.test("statfs tells the file system's type and size", () => {
  const proc = kernel.statfs("/proc");
  assert.equal(proc.type, 0x9fa0);
  using root = kernel.open("/", O_RDONLY | O_DIRECTORY);
  assert.ok(kernel.fstatfs(root.number).blocks > 0n);
});

Deno.test("a directory is locked once; its holder is named; disposing frees it", () =>
  withRoot(async (root) => {
    const lock = lockDirectory(kernel, root);
    assert.throws(() => lockDirectory(kernel, root), new RegExp(`in use by process ${Deno.pid}$`));
    lock[Symbol.dispose]();
    lockDirectory(kernel, root)[Symbol.dispose]();
    // A crash frees it, too.
    const script = `exec 9<"$1"; flock -x 9; echo locked; exec sleep 60`;
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", script, "sh", root],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assert.throws(() => lockDirectory(kernel, root), /in use by (process \d+|another process)$/);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    lockDirectory(kernel, root)[Symbol.dispose]();
  }));

Deno.test("flock without waiting answers false for the second", () =>
  withRoot((root) => {
    using first = kernel.open(root, O_RDONLY);
    using second = kernel.open(root, O_RDONLY);
    assert.equal(kernel.flock(first.number, LOCK_EX | LOCK_NB), true);
    assert.equal(kernel.flock(second.number, LOCK_EX | LOCK_NB), false);
  }));

Deno.test("peer credentials of a socket pair are our own", () => {
  const { a, b } = kernel.socketpair(AF_UNIX, SOCK_STREAM);
  using _b = b;
  using left = a;
  const peer = kernel.peerCredentials(left.number);
  assert.deepEqual(peer, { pid: kernel.getpid(), uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 });
});

Deno.test("unix sockets are connected through paths of any length", () =>
  withRoot((root) => {
    const long = `${root}/${"d".repeat(120)}`;
    Deno.mkdirSync(long);
    Deno.symlinkSync(long, `${root}/s`);
    using _listener = Deno.listen({ transport: "unix", path: `${root}/s/sock` });
    using socket = kernel.socket(AF_UNIX, SOCK_STREAM, 0);
    kernel.connectUnix(socket.number, `${long}/sock`);
    assert.equal(kernel.peerCredentials(socket.number).pid, Deno.pid);
  }));

Deno.test("pidfds carry signals to the process that they were opened for", async () => {
  const child = new Deno.Command("/bin/sleep", { args: ["60"] }).spawn();
  using pidfd = kernel.pidfdOpen(child.pid);
  kernel.pidfdSendSignal(pidfd.number, 15);
  assert.equal((await child.status).signal, signalName(15));
  assert.throws(() => kernel.pidfdSendSignal(pidfd.number, 15), (error) => isErrno(error, "ESRCH"));
});

Deno.test("epoll tells what is ready and forgets what was removed", () => {
  using epoll = kernel.epollCreate();
  using event = kernel.eventfd(0);
  kernel.epollAdd(epoll.number, event.number, EPOLLIN, 0xfedcba9876543210n);
  assert.deepEqual(kernel.epollTake(epoll.number, 8), []);
  kernel.write(event.number, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.deepEqual(kernel.epollTake(epoll.number, 8), [
    { events: EPOLLIN, data: 0xfedcba9876543210n },
  ]);
  kernel.epollRemove(epoll.number, event.number);
  assert.deepEqual(kernel.epollTake(epoll.number, 8), []);
});

Deno.test("the recording kernel remembers calls and answers as scripted", () => {
  const { kernel: recording, calls } = recordingKernel({
    mount: () => failWith("mount", "EPERM"),
    readlinkat: () => "target",
  });
  using fd = recording.open("/x", O_RDONLY);
  assert.ok(fd.number > 2);
  assert.equal(recording.readlinkat(AT_FDCWD, "/l"), "target");
  assert.throws(
    () => recording.mount("a", "b", null, 0n, null),
    (error) => isErrno(error, "EPERM"),
  );
  assert.deepEqual(calls.map(({ name }) => name), ["open", "readlinkat", "mount"]);
  assert.deepEqual(calls[0]?.args, ["/x", O_RDONLY]);
});
