import assert from "node:assert/strict";
import { connect } from "node:net";
import { once } from "node:events";
import { ConsoleSocket } from "./console_socket.ts";
import { createLinuxKernel } from "./linux.ts";

const kernel = createLinuxKernel();

Deno.test("a console socket gives nothing where nothing was sent, at paths of any length", async () => {
  const folder = await Deno.makeTempDir();
  const long = `${folder}/${"x".repeat(100)}`;
  await Deno.mkdir(long);
  for (const directory of [folder, long]) {
    {
      using socket = new ConsoleSocket(kernel, `${directory}/socket`);
      assert.ok(new TextEncoder().encode(socket.path).length <= 107);
      assert.equal(socket.take(), undefined);
      // A peer that connects and sends bytes without a descriptor.
      const peer = connect(socket.path);
      peer.write("/dev/ptmx");
      await once(peer, "connect");
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(socket.take(), undefined);
      peer.destroy();
    }
    await assert.rejects(Deno.stat(`${directory}/socket`), Deno.errors.NotFound);
  }
  await Deno.remove(folder, { recursive: true });
});
