import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { newSandboxId } from "../model/mod.ts";
import { HostPortLedger } from "./host_port_ledger.ts";
import {
  type ListeningSocket,
  parseSocketLine,
  ProcListeningSockets,
} from "./listening_sockets.ts";
import type { PortMapping } from "./networks.ts";

const mapping = (parts: Partial<PortMapping> = {}): PortMapping => ({
  protocol: "tcp",
  containerPort: 80,
  hostPort: 8080,
  hostIp: "",
  ...parts,
});

function ledgerWith(...sockets: ListeningSocket[]): HostPortLedger {
  return new HostPortLedger({
    withPort: (_protocol, port) => Promise.resolve(sockets.filter((s) => s.port === port)),
    holderOf: () => Promise.resolve(undefined),
  });
}

for (
  const [a, b, collide] of [
    [{}, {}, true],
    [{}, { hostPort: 8081 }, false],
    [{}, { protocol: "udp" }, false],
    [{}, { hostIp: "10.0.0.1" }, true],
    [{ hostIp: "0.0.0.0" }, { hostIp: "10.0.0.1" }, true],
    [{ hostIp: "0.0.0.0" }, { hostIp: "::1" }, false],
    [{ hostIp: "::" }, { hostIp: "fd00::1" }, true],
    [{ hostIp: "::" }, { hostIp: "127.0.0.1" }, false],
    [{ hostIp: "10.0.0.1" }, { hostIp: "10.0.0.2" }, false],
    [{ hostIp: "fd00::1" }, { hostIp: "FD00:0::1" }, true],
  ] as const
) {
  const names = `${JSON.stringify(a)} and ${JSON.stringify(b)}`;
  Deno.test(`two pods with ${names} ${collide ? "collide" : "do not collide"}`, () => {
    for (const [first, second] of [[a, b], [b, a]]) {
      const ledger = ledgerWith();
      ledger.claim({ sandboxId: newSandboxId(), pod: "ns/a" }, [mapping(first)]);
      const claim = () =>
        ledger.claim({ sandboxId: newSandboxId(), pod: "ns/b" }, [mapping(second)]);
      if (collide) assert.throws(claim, FailedPreconditionError);
      else claim();
    }
  });
}

Deno.test("one port of the host for two ports of the pod is refused, the same mapping twice is one", () => {
  const ledger = ledgerWith();
  const holder = { sandboxId: newSandboxId(), pod: "ns/a" };
  assert.throws(
    () => ledger.claim(holder, [mapping(), mapping({ containerPort: 81 })]),
    (error: InvalidArgumentError) =>
      error instanceof InvalidArgumentError && error.details.field === "config.port_mappings[1]",
  );
  ledger.claim(holder, [mapping(), mapping(), mapping({ hostIp: "127.0.0.1", containerPort: 81 })]);
});

Deno.test("a socket that listens on the address, or either on all, has the port", async () => {
  const socket = { address: "127.0.0.1", port: 8080, inode: "1" };
  const ledger = ledgerWith(socket);
  await assert.rejects(ledger.assertNotListening([mapping()]), FailedPreconditionError);
  await assert.rejects(
    ledger.assertNotListening([mapping({ hostIp: "127.0.0.1" })]),
    /taken by a program of the host, which listens on 127\.0\.0\.1/,
  );
  await ledger.assertNotListening([mapping({ hostIp: "10.0.0.1" })]);
  await ledger.assertNotListening([mapping({ hostIp: "::1" })]);
});

Deno.test("lines of /proc/net tell address, port and inode in both families", () => {
  const tail =
    "00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1578 1 0 100";
  assert.deepEqual(parseSocketLine(`   0: 0100007F:1691 ${tail}`), {
    socket: { address: "127.0.0.1", port: 5777, inode: "1578" },
    state: "0A",
  });
  const words = "000080FE000000000000000001000000";
  assert.deepEqual(parseSocketLine(`   0: ${words}:0050 ${tail}`)?.socket.address, "fe80::1");
  assert.deepEqual(parseSocketLine(`   0: ${"0".repeat(32)}:0050 ${tail}`)?.socket.address, "");
  assert.equal(parseSocketLine("  sl  local_address rem_address   st tx_queue"), undefined);
});

Deno.test("listening sockets of this machine are found with their process", async () => {
  const sockets = new ProcListeningSockets();
  using tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = tcp.addr as Deno.NetAddr;
  // Others of this machine may have the same port on another address.
  const found = (await sockets.withPort("tcp", port)).find((s) => s.address === "127.0.0.1");
  assert.ok(found);
  assert.equal((await sockets.holderOf(found))?.pid, Deno.pid);
  for (const protocol of ["udp", "sctp"] as const) {
    const others = await sockets.withPort(protocol, port);
    assert.ok(!others.some((s) => s.inode === found.inode), protocol);
  }

  // A client's end of a connection has the port, too, and does not listen on it.
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  using _accepted = await tcp.accept();
  const local = client.localAddr as Deno.NetAddr;
  for (const socket of await sockets.withPort("tcp", local.port)) {
    assert.notEqual((await sockets.holderOf(socket))?.pid, Deno.pid);
  }
});
