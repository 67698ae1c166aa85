import assert from "node:assert/strict";
import { ResourceExhaustedError } from "../errors/mod.ts";
import { FORWARDED_LIMIT, PortForwards } from "./port_forward.ts";
import { sandboxRecord } from "./_test_records.ts";

Deno.test("as many connections are forwarded as may be, and one more is refused by the limit", async () => {
  const record = sandboxRecord({ kind: "ready", ips: [] });
  const ends: (() => void)[] = [];
  const forwards = new PortForwards({
    registry: { requireSandbox: () => record },
    connections: {
      connect: () => {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        ends.push(() => resolve(undefined));
        return Promise.resolve({
          read: () => promise,
          write: () => Promise.resolve(true),
          writable: () => Promise.resolve(),
          endWriting: () => {},
          unread: () => 0,
          close: () => {},
          [Symbol.dispose]: () => {},
        });
      },
    },
  });
  const forward = () =>
    forwards.portForward(record.id, 80, {
      source: (async function* () {})(),
      sink: { write: () => Promise.resolve(), end: () => Promise.resolve() },
    }, new AbortController().signal);
  const running = Array.from({ length: FORWARDED_LIMIT }, forward);
  await assert.rejects(forward(), (error: Error) => {
    assert.ok(error instanceof ResourceExhaustedError);
    return /There are 1024 forwarded connections already, which is the limit/.test(error.message);
  });
  while (ends.length < FORWARDED_LIMIT) await new Promise((resolve) => setTimeout(resolve, 1));
  ends[0]!();
  await running[0];
  running.push(forward());
  while (ends.length <= FORWARDED_LIMIT) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const end of ends) end();
  await Promise.all(running);
});
