import assert from "node:assert/strict";
import { AF_UNIX, SOCK_STREAM } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";
import { withRoot } from "../_test_root.ts";

const kernel = createLinuxKernel();

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
