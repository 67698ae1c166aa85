import assert from "node:assert/strict";
import { ResourceExhaustedError, UnavailableError } from "../errors/mod.ts";
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
          keep: () => {},
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

/** A program of a pod that says `bye` and closes. */
function closingProgram() {
  const said = [new TextEncoder().encode("bye"), undefined];
  const program = {
    closed: false,
    read: () => Promise.resolve(said.shift()),
    keep: () => {},
    write: () => Promise.resolve(true),
    writable: () => Promise.resolve(),
    endWriting: () => {},
    unread: () => 0,
    close: () => void (program.closed = true),
    [Symbol.dispose]: () => program.close(),
  };
  return program;
}

for (const when of ["after the pod's end", "before it", "as it takes nothing"] as const) {
  Deno.test(`a client that leaves a connection ${when} ends it in order`, async () => {
    const record = sandboxRecord({ kind: "ready", ips: [] });
    const program = closingProgram();
    const forwards = new PortForwards({
      registry: { requireSandbox: () => record },
      connections: { connect: () => Promise.resolve(program) },
    });
    const reset = new UnavailableError("The client has reset the stream (status 5)");
    const ended = Promise.withResolvers<void>();
    const never = new Promise<void>(() => {});
    const take = {
      "after the pod's end": () => Promise.resolve(),
      "before it": () => never,
      "as it takes nothing": () => Promise.reject(reset),
    }[when];
    await forwards.portForward(record.id, 80, {
      source: (async function* () {
        yield new TextEncoder().encode("GET");
        if (when === "as it takes nothing") await never;
        if (when === "after the pod's end") await ended.promise;
        throw reset;
      })(),
      sink: { write: take, end: () => Promise.resolve(ended.resolve()) },
    }, new AbortController().signal);
    assert.ok(program.closed);
  });
}

Deno.test("a client that gives up behind its end is not waited for, nor is the pod", async () => {
  const record = sandboxRecord({ kind: "ready", ips: [] });
  const program = { ...closingProgram(), read: () => new Promise<undefined>(() => {}) };
  const closed = Promise.withResolvers<void>();
  program.close = () => void closed.resolve();
  const heard = Promise.withResolvers<void>();
  program.endWriting = heard.resolve;
  const forwards = new PortForwards({
    registry: { requireSandbox: () => record },
    connections: { connect: () => Promise.resolve(program) },
  });
  const lost = new AbortController();
  const forwarded = forwards.portForward(record.id, 80, {
    source: (async function* () {})(),
    sink: { write: () => Promise.resolve(), end: () => Promise.resolve() },
    lost: lost.signal,
  }, new AbortController().signal);
  await heard.promise;
  lost.abort(new UnavailableError("The client has reset the stream (status 5)"));
  await forwarded;
  await closed.promise;
});

Deno.test("a source that fails for a reason of ours is no client that leaves", async () => {
  const record = sandboxRecord({ kind: "ready", ips: [] });
  const forwards = new PortForwards({
    registry: { requireSandbox: () => record },
    connections: { connect: () => Promise.resolve(closingProgram()) },
  });
  const fault = new TypeError("a fault");
  await assert.rejects(
    forwards.portForward(record.id, 80, {
      // deno-lint-ignore require-yield
      source: (async function* () {
        throw await Promise.resolve(fault);
      })(),
      sink: { write: () => Promise.resolve(), end: () => Promise.resolve() },
    }, new AbortController().signal),
    fault,
  );
});
