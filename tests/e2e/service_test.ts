/** The server under a service manager: what it tells, and what its children do not learn. @module */
import assert from "node:assert/strict";
import { DatagramListener } from "../../src/sys/testdata/datagram_listener.ts";
import { onWorkbench } from "../support/workbench.ts";

const socket = `@sauropod-test-${crypto.randomUUID()}`;
const start = { env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "3000000" } };
const test = onWorkbench();

test("readiness, signs of life and the end are told, and nothing below speaks for the server", async (bench) => {
  using manager = new DatagramListener(socket);
  await bench.restart("stop", { start });
  const ready = `READY=1\nSTATUS=Serving on ${bench.node.socket}`;
  assert.equal(await manager.next(), ready);
  const container = await bench.pod({ script: "env; echo told; exec sleep 600" });
  await container.says("told");
  const output = [
    ...(await container.log()).map(({ text }) => text),
    ...(await container.sh("env")).split("\n"),
    ...environmentOf((await container.info()).pid),
    ...environmentOf(monitorPid(bench.node.runRoot, container.id)),
  ];
  assert.deepEqual(output.filter((line) => /^(NOTIFY_SOCKET|WATCHDOG_)/.test(line)), []);
  assert.equal(await manager.next(), "WATCHDOG=1");
  assert.equal(await manager.next(), "WATCHDOG=1");
  await bench.restart("stop");
  // More may have come meanwhile.
  let last: string;
  do last = await manager.next(); while (last === "WATCHDOG=1");
  assert.equal(last, "STOPPING=1");
  assert.equal(await container.sh("echo well"), "well");
});

function environmentOf(pid: number): string[] {
  return Deno.readTextFileSync(`/proc/${pid}/environ`).split("\0");
}

function monitorPid(runRoot: string, id: string): number {
  return Number(Deno.readTextFileSync(`${runRoot}/containers/${id}/conmon-pidfile`));
}
