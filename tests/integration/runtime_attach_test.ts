import assert from "node:assert/strict";
import { FailedPreconditionError, ResourceExhaustedError } from "../../src/errors/mod.ts";
import { TestClient } from "./client_streams.ts";
import { type ContainerRequest, RuntimeFixture, type TestContainer } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };

function attach(
  { runtime }: Pick<RuntimeFixture, "runtime">,
  { place }: TestContainer,
  client: TestClient,
  { terminal = false, stdin = false, stdinOnce = false }: Partial<ContainerRequest> = {},
): Promise<void> {
  return runtime.attach({ place, terminal, stdin, stdinOnce, streams: client.streams() });
}

async function started(fixture: RuntimeFixture, request: ContainerRequest): Promise<TestContainer> {
  const container = await fixture.run({ ...request, stopAt: "created" });
  return container;
}

function start(fixture: RuntimeFixture, { place }: TestContainer): Promise<void> {
  return fixture.runtime.start(place, AbortSignal.timeout(60_000));
}

/** Descriptors of a container's monitor. */
function held({ created }: TestContainer): number {
  return [...Deno.readDirSync(`/proc/${created.monitor.pid}/fd`)].length;
}

Deno.test(
  "clients attached before the start get everything, and their end with the container's",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await started(fixture, {
      args: ["sh", "-c", "echo out; echo err >&2; head -c 3000000 /dev/zero; exit 3"],
    });
    const clients = [new TestClient(), new TestClient()];
    const ends = clients.map((client) => attach(fixture, container, client));
    await start(fixture, container);
    await Promise.all(ends);
    for (const { stdout, stderr } of clients) {
      assert.equal(stdout.length, 3_000_004);
      assert.match(stdout.text, /^out\n/);
      assert.equal(stderr.text, "err\n");
      assert.ok(stdout.ended && stderr.ended);
    }
    assert.equal((await container.exited).exitCode, 3);
    await assert.rejects(attach(fixture, container, new TestClient()), FailedPreconditionError);
  },
);

Deno.test("several clients write to a container, which outlives their going", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const stdin = { stdin: true };
  const container = await fixture.run({ args: ["cat"], ...stdin });
  const [a, b] = [new TestClient(), new TestClient()];
  const ends = [a, b].map((client) => attach(fixture, container, client, stdin));
  a.send("from a\n");
  await Promise.all([a.stdout.saw("from a"), b.stdout.saw("from a")]);
  b.send("from b\n");
  await Promise.all([a.stdout.saw("from b"), b.stdout.saw("from b")]);
  a.stdin.end();
  a.leave();
  await ends[0];
  b.send("still\n");
  await b.stdout.saw("still");
  b.leave();
  await ends[1];
  const c = new TestClient();
  const end = attach(fixture, container, c, stdin);
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  for (let n = 0; n < 20; n++) c.stdin.put(bytes.slice());
  while (c.stdout.length < 1_200_000) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(c.stdout.bytes().subarray(1_140_000), bytes);
  c.leave();
  await end;
  assert.deepEqual(c.stderr.length, 0);
});

Deno.test(
  "standard input ends with its first client where the container wants it so",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const once = { stdin: true, stdinOnce: true };
    for (const how of ["end", "leave"]) {
      const container = await fixture.run({ args: ["sh", "-c", "cat; echo bye"], ...once });
      // A client without standard input comes and goes: not the one that counts.
      const watcher = new TestClient();
      const { stdin: _stdin, ...streams } = watcher.streams();
      const { place } = container;
      await Promise.all([
        fixture.runtime.attach({
          ...{ place, terminal: false, ...once },
          streams: { ...streams, stdin: undefined },
        }),
        Promise.resolve().then(() => watcher.leave()),
      ]);
      const client = new TestClient();
      const end = attach(fixture, container, client, once);
      client.send("x\n");
      await client.stdout.saw("x\n");
      if (how === "end") client.stdin.end();
      else client.leave();
      await end;
      assert.equal((await container.exited).exitCode, 0);
      if (how === "end") assert.equal(client.stdout.text, "x\nbye\n");
    }
  },
);

Deno.test("a terminal has its client's size and input", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const terminal = { terminal: true };
  const container = await fixture.run({
    args: ["sh", "-c", "while read line; do stty size; done; exit 4"],
    ...terminal,
  });
  const client = new TestClient();
  const end = attach(fixture, container, client, terminal);
  client.resizes.put({ columns: 120, rows: 40 });
  const asking = setInterval(() => client.send("\n"), 50);
  await client.stdout.saw("40 120\r\n");
  client.resizes.put({ columns: 65_535, rows: 30 });
  await client.stdout.saw("30 1000\r\n");
  clearInterval(asking);
  client.send("\u0004");
  await end;
  assert.equal((await container.exited).exitCode, 4);
});

Deno.test("a client without standard input to write to is no trouble", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const container = await fixture.run({ args: ["sh", "-c", "sleep 1; echo done"] });
  const client = new TestClient();
  for (let n = 0; n < 100; n++) client.stdin.put(new Uint8Array(65_536));
  client.stdin.end();
  await attach(fixture, container, client);
  assert.equal(client.stdout.text, "done\n");
});

Deno.test(
  "a client that reads too slowly is cut off; the other, the log and the container go on",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await started(fixture, {
      args: ["sh", "-c", "head -c 20000000 /dev/zero; echo; echo last; exit 5"],
    });
    const [slow, fast] = [new TestClient({ keep: false }), new TestClient()];
    slow.stdout.stall();
    const ends = [slow, fast].map((client) => attach(fixture, container, client));
    const cut = assert.rejects(ends[0]!, (error) => {
      assert.ok(error instanceof ResourceExhaustedError);
      assert.match(error.message, /reads too slowly/);
      return true;
    });
    await start(fixture, container);
    await cut;
    await ends[1];
    assert.equal(fast.stdout.length, 20_000_006);
    assert.equal((await container.exited).exitCode, 5);
    assert.equal((await fixture.log(container.place)).at(-1), "stdout F last");
  },
);

Deno.test("attaching works again after the server's death", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const stdin = { stdin: true };
  const container = await fixture.run({ args: ["cat"], ...stdin });
  const first = new TestClient();
  const lost = attach(fixture, container, first, stdin);
  first.send("one\n");
  await first.stdout.saw("one");
  // Its descriptors are closed, as the kernel would.
  fixture.runtime[Symbol.dispose]();
  await lost;
  using next = await fixture.reopen();
  const second = new TestClient();
  const end = attach({ runtime: next }, container, second, stdin);
  second.send("two\n");
  await second.stdout.saw("two");
  second.leave();
  await end;
});

Deno.test("broken-off attachments leave nothing, in the monitor neither", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const stdin = { stdin: true };
  const container = await fixture.run({ args: ["cat"], ...stdin });
  const before = [...Deno.readDirSync("/proc/self/fd")].length;
  const monitor = held(container);
  for (let round = 0; round < 200; round++) {
    const client = new TestClient();
    const end = attach(fixture, container, client, stdin);
    for (let size = 1; size < 10; size++) client.resizes.put({ columns: size, rows: size });
    client.leave();
    await end;
  }
  const last = new TestClient();
  const end = attach(fixture, container, last, stdin);
  last.send("ping\n");
  await last.stdout.saw("ping");
  // One connection, whoever came and went.
  assert.equal([...Deno.readDirSync("/proc/self/fd")].length, before + 1);
  assert.equal(held(container), monitor + 1);
  last.leave();
  await end;
});
