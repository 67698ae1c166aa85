import assert from "node:assert/strict";
import { ExecSyncResponse } from "../../src/proto/mod.ts";
import { type BenchContainer, eventually, onWorkbench, refused } from "../support/workbench.ts";

const test = onWorkbench();

/** Command lines of the processes in a container, as the node sees them. */
async function processesIn(container: BenchContainer): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!Deno.readTextFileSync(`/proc/${name}/cgroup`).includes(`crio-${container.id}`)) continue;
      const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      if (line !== "") found.push(line.replaceAll("\0", " ").trim());
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Number of its processes once its shell has begun to wait: the shell and what it waits for. */
async function settled(container: BenchContainer): Promise<number> {
  return await eventually("the container's shell waits", async () => {
    const { length } = await processesIn(container);
    return length === 2 ? length : undefined;
  });
}

test("ExecSync answers with both streams and the exit status", async (bench) => {
  const container = await bench.pod();
  assert.deepEqual(await container.exec("echo out; echo err >&2; exit 42"), {
    stdout: "out\n",
    stderr: "err\n",
    exitCode: 42,
  });
  assert.deepEqual(await container.exec("kill -9 $$"), { stdout: "", stderr: "", exitCode: 137 });
});

test("ExecSync runs as the container's user, in its folder and with its environment", async (bench) => {
  const container = await bench.pod({
    container: {
      workingDir: "/tmp",
      envs: [{ key: "COLOUR", value: new TextEncoder().encode("a\nb") }],
      linux: { securityContext: { runAsUser: { value: 1000n } } },
    },
  });
  assert.equal(await container.sh('pwd; id -u; echo "$COLOUR"'), "/tmp\n1000\na\nb");
});

test("a command that the image lacks is not found, and does no harm", async (bench) => {
  const container = await bench.pod();
  const call = bench.runtime.execSync({ containerId: container.id, cmd: ["/no/such/program"] });
  const answer = await call.then(
    ({ exitCode, stderr }) => `${exitCode} ${new TextDecoder().decode(stderr)}`,
    (error: Error) => error.message,
  );
  assert.match(answer, /\/no\/such\/program/);
  assert.equal(await container.sh("echo well"), "well");
});

test("an exec that runs too long is DEADLINE_EXCEEDED and leaves no process, grandchildren included", async (bench) => {
  const container = await bench.pod();
  const before = await settled(container);
  const script = "(setsid sleep 7777 &) ; sh -c 'trap \"\" TERM INT HUP; sleep 8888'; sleep 9999";
  const started = performance.now();
  await refused(container.exec(script, 1), "DEADLINE_EXCEEDED", container.id);
  assert.ok(performance.now() - started < 10_000);
  assert.deepEqual(
    (await processesIn(container)).filter((line) => /7777|8888|9999/.test(line)),
    [],
  );
  assert.equal((await processesIn(container)).length, before);
  assert.equal(await container.sh("echo well"), "well");
});

test("a client that gives up waiting does not leave its command running for ever", async (bench) => {
  const container = await bench.pod();
  const call = bench.runtime.execSync({
    containerId: container.id,
    cmd: ["/bin/sleep", "6666"],
    timeout: 2n,
  }, { timeoutMs: 300 });
  await refused(call, "DEADLINE_EXCEEDED");
  await eventually(
    "the command has ended",
    async () => (await processesIn(container)).every((line) => !line.includes("6666")) || undefined,
  );
});

test("both streams together stay below what one answer may hold", async (bench) => {
  const container = await bench.pod();
  const flood = "yes 0123456789abcdef | head -c 20000000";
  const answer = await bench.runtime.execSync({
    containerId: container.id,
    cmd: ["/bin/sh", "-c", `${flood} & ${flood} >&2; wait; exit 5`],
    timeout: 60n,
  });
  assert.equal(answer.exitCode, 5);
  const encoded = ExecSyncResponse.encode(answer).finish().length;
  assert.ok(encoded < 16 << 20, `${encoded} bytes`);
  assert.ok(encoded > 15 << 20, `${encoded} bytes: what fits is answered`);
});

test("a background child that holds the pipe does not delay the answer", async (bench) => {
  const container = await bench.pod();
  const started = performance.now();
  const { stdout, exitCode } = await container.exec("sleep 600 & echo done");
  assert.deepEqual([stdout, exitCode], ["done\n", 0]);
  assert.ok(performance.now() - started < 30_000);
});

test("ExecSync needs a command and a container that runs", async (bench) => {
  const container = await bench.pod();
  const containerId = container.id;
  await refused(bench.runtime.execSync({ containerId, cmd: [] }), "INVALID_ARGUMENT", "cmd");
  await refused(
    bench.runtime.execSync({ containerId, cmd: ["true"], timeout: -1n }),
    "INVALID_ARGUMENT",
    "timeout",
  );
  await refused(
    bench.runtime.execSync({ containerId: "c".repeat(64), cmd: ["true"] }),
    "NOT_FOUND",
  );
  await bench.runtime.stopContainer({ containerId, timeout: 5n });
  await refused(
    bench.runtime.execSync({ containerId, cmd: ["true"] }),
    "FAILED_PRECONDITION",
    "exited",
  );
});

test("many execs at once all answer, and the container is none the worse", async (bench) => {
  const container = await bench.pod();
  const before = await settled(container);
  const said = await Promise.all(
    Array.from({ length: 16 }, (_, index) => container.sh(`echo ${index}`)),
  );
  assert.deepEqual(said, Array.from({ length: 16 }, (_, index) => String(index)));
  assert.equal((await processesIn(container)).length, before);
});
