import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
  SyscallError,
} from "../../src/errors/mod.ts";
import type { TerminalSize } from "../../src/model/mod.ts";
import type { ExecStreamRequest } from "../../src/runtime/mod.ts";
import { createLinuxKernel } from "../../src/sys/mod.ts";
import { TestClient } from "./client_streams.ts";
import { ExecTarget } from "./exec_target.ts";
import { HANG_MS } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };
const MIB = 1 << 20;

function exec(
  target: ExecTarget,
  script: string,
  client: TestClient,
  overrides: Partial<ExecStreamRequest> = {},
): Promise<number> {
  return target.fixture.runtime.exec({
    ...target.command(script),
    terminal: false,
    startTimeoutMs: 60_000,
    streams: client.streams(),
    ...overrides,
  });
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("exec gives both streams, their ends and the exit code exactly", options, async () => {
  await using target = await ExecTarget.open();
  const client = new TestClient();
  const script = "printf 'a\\nb'; printf 'x\\n\\n' >&2; echo more >/proc/self/fd/1; exit 7";
  assert.equal(await exec(target, script, client), 7);
  assert.equal(client.stdout.text, "a\nbmore\n");
  assert.equal(client.stderr.text, "x\n\n");
  assert.ok(client.stdout.ended && client.stderr.ended);
  assert.equal(await exec(target, "kill -9 $$", new TestClient()), 137);
  assert.equal(await exec(target, "kill -15 $$", new TestClient()), 143);
  assert.equal(await exec(target, "exit 255", new TestClient()), 255);
  assert.deepEqual(target.leftovers(), []);
});

Deno.test(
  "exec ends standard input with the client's, and gives none it did not ask for",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const client = new TestClient();
    const result = exec(target, "cat; echo after; wc -c </proc/self/fd/0", client);
    client.send("one\n");
    await client.stdout.saw("one");
    client.send("two\n");
    client.stdin.end();
    assert.equal(await result, 0);
    assert.equal(client.stdout.text, "one\ntwo\nafter\n0\n");
    const none = new TestClient();
    const streams = none.streams(["stdin", "stderr"]);
    assert.equal(await exec(target, "cat; echo lost >&2", none, { streams }), 0);
    // A command that reads nothing, and a client that sends on.
    const ignored = new TestClient();
    for (let n = 0; n < 64; n++) ignored.stdin.put(new Uint8Array(65_536));
    assert.equal(await exec(target, "exit 3", ignored), 3);
  },
);

Deno.test("exec lets a user that is not root open its streams anew", options, async () => {
  await using target = await ExecTarget.open();
  const client = new TestClient();
  const process = { ...target.fixture.process([]), user: { uid: 1234, gid: 5678 } };
  client.send("hello\n");
  client.stdin.end();
  const script = "id -u; cat /proc/self/fd/0; echo out >/proc/self/fd/1; echo err >/proc/self/fd/2";
  assert.equal(await exec(target, script, client, { process }), 0, client.stderr.text);
  assert.equal(client.stdout.text, "1234\nhello\nout\n");
  assert.equal(client.stderr.text, "err\n");
});

Deno.test(
  "exec carries large binary data both ways, whatever the client's pace, in bounded memory",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const client = new TestClient();
    const sent = createHash("sha256");
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    for (let n = 0; n < 320; n++) {
      bytes[0] = n;
      sent.update(bytes);
      client.stdin.put(bytes.slice());
    }
    client.stdin.end();
    assert.equal(await exec(target, "cat", client), 0);
    assert.equal(
      createHash("sha256").update(client.stdout.bytes()).digest("hex"),
      sent.digest("hex"),
    );

    // Nobody takes anything: the command waits, and so does its output.
    const slow = new TestClient({ keep: false });
    slow.stdout.stall();
    const before = Deno.memoryUsage().rss;
    const result = exec(target, "head -c 400000000 /dev/zero; echo done >&2", slow);
    while (slow.stdout.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(slow.stderr.text, "");
    assert.ok(slow.stdout.length <= MIB);
    slow.stdout.resume();
    assert.equal(await result, 0);
    assert.equal(slow.stdout.length, 400_000_000);
    assert.ok(Deno.memoryUsage().rss - before < 150 * MIB);
  },
);

Deno.test("exec names a command that does not exist in the runtime's words", options, async () => {
  await using target = await ExecTarget.open();
  for (const terminal of [false, true]) {
    const client = new TestClient();
    client.resizes.put({ columns: 100, rows: 50 });
    await assert.rejects(
      exec(target, "", client, { args: ["no-such-command"], terminal }),
      (error) => {
        assert.ok(error instanceof FailedPreconditionError, String(error));
        assert.match(error.message, /exec: "no-such-command": executable file not found in \$PATH/);
        return true;
      },
    );
    assert.equal(client.stderr.text, "");
    assert.deepEqual(target.leftovers(), []);
  }
});

Deno.test("exec in a container that does not run is refused", options, async () => {
  await using target = await ExecTarget.open(["true"]);
  await target.container.exited;
  await assert.rejects(exec(target, "true", new TestClient()), FailedPreconditionError);
  await target.fixture.remove(target.container.place);
  await assert.rejects(exec(target, "true", new TestClient()), NotFoundError);
});

Deno.test("exec with a terminal has its sizes, its input and its end", options, async () => {
  await using target = await ExecTarget.open();
  const client = new TestClient();
  client.resizes.put({ columns: 100, rows: 50 });
  const script = "test -t 0 && test -t 2 && echo ready; " +
    'while read line; do echo "<$line>"; stty size; done; exit 9';
  const result = exec(target, script, client, {
    terminal: true,
    streams: client.streams(["stderr"]),
  });
  await client.stdout.saw("ready");
  client.send("first\n");
  await client.stdout.saw("<first>\r\n50 100\r\n");
  client.resizes.put({ columns: 200, rows: 60 });
  client.send("second\n");
  await client.stdout.saw("<second>\r\n60 200\r\n");
  client.send("\u0004");
  assert.equal(await result, 9);
  assert.ok(client.stdout.ended);
  assert.deepEqual(target.leftovers(), []);
  const large = new TestClient();
  const streams = large.streams(["stderr", "stdin"]);
  const size = "head -c 3000000 /dev/zero | tr '\\0' x; echo last";
  assert.equal(await exec(target, size, large, { terminal: true, streams }), 0);
  assert.equal(large.stdout.length, 3_000_006);
});

Deno.test("exec goes on when the terminal refuses a size", options, async () => {
  const sizes: TerminalSize[] = [];
  await using target = await ExecTarget.open(undefined, {
    ...createLinuxKernel(),
    setTerminalSize: (_descriptor, size) => {
      sizes.push(size);
      throw new SyscallError("ioctl", 5, "EIO", "the terminal");
    },
  });
  const client = new TestClient();
  const result = exec(target, "echo up; read line; exit 4", client, { terminal: true });
  for (const columns of [80, 81]) {
    client.resizes.put({ columns, rows: 24 });
    while (sizes.at(-1)?.columns !== columns) {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), result]);
    }
  }
  client.send("go\n");
  assert.equal(await result, 4);
  assert.deepEqual(target.leftovers(), []);
});

Deno.test(
  "exec leaves nothing of a command whose client has gone, in whatever stage",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = target.processes();
    const scripts = [
      "echo up; sleep 500",
      "trap '' TERM HUP PIPE; setsid sh -c 'sleep 500 & sleep 501' & echo up; sleep 502",
      "echo up; f() { f & sleep 0.01; f; }; f",
    ];
    for (const script of scripts) {
      for (const terminal of [false, true]) {
        const client = new TestClient();
        const result = exec(target, script, client, { terminal });
        result.catch(() => {});
        await client.stdout.saw("up");
        client.leave();
        await assert.rejects(result, (error) => error === client.gone);
        assert.deepEqual(target.processes(), before, script);
      }
    }
    for (const afterMs of [0, 1, 3, 6, 10, 15, 20, 25, 30, 35]) {
      const client = new TestClient();
      const result = exec(target, "sleep 500", client, { terminal: afterMs % 2 === 1 });
      setTimeout(() => client.leave(), afterMs);
      await assert.rejects(result, (error) => error === client.gone);
      assert.deepEqual(target.processes(), before, `${afterMs} ms`);
    }
    // A sink that has lost its receiver counts as gone, too.
    const broken = new TestClient();
    broken.stdout.gone = true;
    await assert.rejects(exec(target, "echo x; sleep 500", broken));
    assert.deepEqual(target.processes(), before);
    await assert.rejects(
      exec(target, "sleep 500", new TestClient(), { startTimeoutMs: 1 }),
      DeadlineExceededError,
    );
    assert.deepEqual(target.processes(), before);
    assert.deepEqual(target.leftovers(), []);
  },
);

Deno.test(
  "exec answers while a background child holds the output, and the child goes on",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = target.processes();
    const client = new TestClient();
    assert.equal(await exec(target, "sleep 400 & echo done; exit 6", client), 6);
    assert.equal(client.stdout.text, "done\n");
    assert.ok(client.stdout.ended);
    assert.equal(target.processes().length, before.length + 1);
    const noisy = new TestClient({ keep: false });
    assert.equal(await exec(target, "yes & exit 5", noisy), 5);
    assert.deepEqual(target.leftovers(), []);
  },
);

Deno.test(
  "exec does not wait for a background child that never leaves the output empty",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const client = new TestClient({ keep: false });
    // Slower than the child, so that there is more to read whenever somebody looks.
    const stdout = {
      write: async (bytes: Uint8Array) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await client.stdout.write(bytes);
      },
      end: () => client.stdout.end(),
    };
    const streams = { ...client.streams(), stdout };
    const { promise: hung, resolve } = Promise.withResolvers<"hung">();
    const guard = setTimeout(resolve, 60_000, "hung");
    try {
      assert.equal(
        await Promise.race([exec(target, "yes & exit 5", client, { streams }), hung]),
        5,
      );
    } finally {
      clearTimeout(guard);
    }
    assert.ok(client.stdout.ended);
  },
);

Deno.test(
  "exec tells the exit code though a child writes on while the other output is still taken",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = target.processes();
    const client = new TestClient();
    client.stderr.stall();
    const script = "while sleep 0.01 && echo x; do :; done & echo err >&2; exit 3";
    const result = exec(target, script, client);
    await Promise.race([client.stdout.over, result]);
    // The child's next line finds no reader.
    const deadlineMs = performance.now() + HANG_MS;
    while (target.processes().length > before.length && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(target.processes(), before);
    client.stderr.resume();
    assert.equal(await result, 3);
    assert.equal(client.stderr.text, "err\n");
    assert.ok(client.stderr.ended);
    assert.deepEqual(target.leftovers(), []);
  },
);

Deno.test(
  "execs end with their container, and with the next life of the server",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const client = new TestClient();
    const swept = exec(target, "echo up; sleep 500", client);
    await client.stdout.saw("up");
    await target.fixture.runtime.sweepExecs(target.container.place);
    assert.equal(await swept, 137);
    const other = new TestClient();
    const stopped = exec(target, "echo up; sleep 500", other);
    await other.stdout.saw("up");
    assert.ok(
      target.fixture.runtime.signal(target.container.place, target.container.created.init, 9),
    );
    assert.equal(await stopped, 137);
    assert.equal((await target.container.exited).exitCode, 137);
  },
);

Deno.test("many execs, good, bad and broken off, leave nothing", options, async () => {
  await using target = await ExecTarget.open();
  await exec(target, "true", new TestClient());
  const before = { processes: target.processes(), descriptors: descriptors() };
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 8 }, async (_, n) => {
      const client = new TestClient();
      const terminal = n % 2 === 1;
      for (let size = 1; size < 50; size++) client.resizes.put({ columns: size, rows: size });
      switch (n >> 1) {
        case 0:
          assert.equal(await exec(target, "exit 2", client, { terminal }), 2);
          break;
        case 1:
          await assert.rejects(exec(target, "", client, { terminal, args: ["no"] }));
          break;
        case 2: {
          const result = exec(target, "echo up; sleep 500", client, { terminal });
          result.catch(() => {});
          await client.stdout.saw("up");
          client.leave();
          await assert.rejects(result);
          break;
        }
        default:
          setTimeout(() => client.leave(), round * 3);
          await exec(target, "sleep 500", client, { terminal }).catch(() => {});
      }
    }));
  }
  assert.deepEqual(target.processes(), before.processes);
  assert.deepEqual(target.leftovers(), []);
  // Sockets close in a later turn of the event loop.
  const deadlineMs = performance.now() + 20_000;
  while (descriptors() > before.descriptors && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(descriptors() <= before.descriptors, `${descriptors()} > ${before.descriptors}`);
});
