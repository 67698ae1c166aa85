import assert from "node:assert/strict";
import { busyboxImage } from "../integration/test_images.ts";
import { ContainerState, Signal } from "../../src/proto/mod.ts";
import {
  eventually,
  onWorkbench,
  parseLog,
  refused,
  type Workbench,
} from "../support/workbench.ts";
import type { TestNode } from "../support/test_node.ts";

/** A second handler whose runtime waits while a file `hold` exists and fails while a file `fail` does. */
async function addGatedHandler(node: TestNode): Promise<void> {
  const script = `${node.directory}/gated-runc`;
  await Deno.writeTextFile(
    script,
    `#!/bin/sh
for word; do
  [ "$word" = create ] || continue
  echo x >> ${node.directory}/creates
  while [ -e ${node.directory}/hold ]; do sleep 0.05; done
  [ -e ${node.directory}/fail ] && { echo told to fail >&2; exit 1; }
done
exec runc "$@"
`,
    { mode: 0o755 },
  );
  const text = await Deno.readTextFile(node.configPath);
  const monitor = /monitor_path = .*\nmonitor_env = .*/.exec(text)?.[0] ?? "";
  await Deno.writeTextFile(
    node.configPath,
    `${text}
[sauropod.runtime.runtimes.gated]
runtime_path = "${script}"
runtime_root = "${node.runRoot}/runc"
${monitor}
`,
  );
}

async function holdRuntime({ node }: Workbench): Promise<
  AsyncDisposable & { reached(): Promise<void> }
> {
  await Deno.writeTextFile(`${node.directory}/creates`, "");
  await Deno.writeTextFile(`${node.directory}/hold`, "");
  return {
    async reached() {
      await eventually(
        "the runtime is asked to create",
        async () => (await Deno.readTextFile(`${node.directory}/creates`)) === "x\n" || undefined,
      );
    },
    [Symbol.asyncDispose]: () => Deno.remove(`${node.directory}/hold`).catch(() => {}),
  };
}

const test = onWorkbench({
  prepare: addGatedHandler,
  images: {
    interrupt: () =>
      busyboxImage({ config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], StopSignal: "SIGINT" } }),
  },
});

test("an identical CreateContainer joins the one under way, one with other content is refused with its id", async (bench) => {
  const sandbox = await bench.sandbox({ handler: "gated" });
  const config = bench.containerConfig();
  const request = { podSandboxId: sandbox.id, config, sandboxConfig: sandbox.config };
  await using hold = await holdRuntime(bench);
  const first = bench.runtime.createContainer(request);
  await hold.reached();
  const second = bench.runtime.createContainer(request);
  const other = { ...request, config: { ...config, command: ["/bin/true"] } };
  const refusal = bench.runtime.createContainer(other).then(
    () => assert.fail("it was answered"),
    (error: Error) => error.message,
  );
  const message = await refusal;
  assert.deepEqual(
    (await bench.runtime.listContainers({})).containers,
    [],
    "half made, not listed",
  );
  await hold[Symbol.asyncDispose]();
  const { containerId } = await first;
  assert.equal((await second).containerId, containerId);
  assert.match(message, /ALREADY_EXISTS/);
  assert.ok(message.includes(containerId), message);
  await hold.reached();
});

test("a client that gives up does not end a creation, and its retry gets the container", async (bench) => {
  const sandbox = await bench.sandbox({ handler: "gated" });
  const request = {
    podSandboxId: sandbox.id,
    config: bench.containerConfig(),
    sandboxConfig: sandbox.config,
  };
  await using hold = await holdRuntime(bench);
  const impatient = bench.runtime.createContainer(request, { timeoutMs: 300 });
  await refused(impatient, "DEADLINE_EXCEEDED");
  await hold.reached();
  const retry = bench.runtime.createContainer(request);
  await hold[Symbol.asyncDispose]();
  const { containerId } = await retry;
  await bench.runtime.startContainer({ containerId });
  await hold.reached();
});

test("a CreateContainer is answered with the id of an identical container that is created, and refused once it was started", async (bench) => {
  const sandbox = await bench.sandbox();
  const { id } = await bench.created(sandbox);
  assert.equal((await bench.created(sandbox)).id, id);
  const changed = bench.created(sandbox, { script: "true" });
  await refused(changed, "ALREADY_EXISTS", id);
  await bench.runtime.startContainer({ containerId: id });
  await refused(bench.created(sandbox), "ALREADY_EXISTS", id, "started");
  const next = await bench.created(sandbox, {
    container: { metadata: { name: "main", attempt: 1 } },
  });
  assert.notEqual(next.id, id, "another attempt is another container");
});

test("a creation that fails says why and at which stage, is undone, and its name is free", async (bench) => {
  const sandbox = await bench.sandbox({ handler: "gated" });
  const fail = `${bench.node.directory}/fail`;
  await Deno.writeTextFile(fail, "");
  const before = await bench.node.residue();
  await refused(bench.created(sandbox), "FAILED_PRECONDITION", "told to fail", "runtime");
  assert.deepEqual((await bench.runtime.listContainers({})).containers, []);
  assert.deepEqual(await bench.node.residue(), before);
  await Deno.remove(fail);
  await bench.created(sandbox, { script: "exit 0" });
});

test("a program that the image lacks is told by name, and the container is undone", async (bench) => {
  const sandbox = await bench.sandbox();
  const before = await bench.node.residue();
  const container = { command: ["/no/such/program"], args: [] };
  await refused(bench.created(sandbox, { container }), "FAILED_PRECONDITION", "/no/such/program");
  assert.deepEqual(await bench.node.residue(), before);
});

test("an image that is not on the node is NOT_FOUND, a sandbox that is not ready refuses", async (bench) => {
  const sandbox = await bench.sandbox();
  const absent = { image: { image: "localhost/no/such:image" } };
  await refused(
    bench.created(sandbox, { container: absent }),
    "NOT_FOUND",
    "localhost/no/such:image",
    "pull the image",
  );
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  await refused(bench.created(sandbox), "FAILED_PRECONDITION", sandbox.id);
  const unknown = { ...sandbox, id: "e".repeat(64) };
  await refused(bench.created(unknown), "NOT_FOUND", unknown.id);
});

test("a container goes from created to running to exited, and each step only once", async (bench) => {
  const sandbox = await bench.sandbox();
  const container = await bench.created(sandbox, { script: "sleep 0.2; exit 3" });
  const created = await container.status();
  assert.equal(created.state, ContainerState.CONTAINER_CREATED);
  assert.equal(created.startedAt, 0n);
  await bench.runtime.startContainer({ containerId: container.id });
  const again = bench.runtime.startContainer({ containerId: container.id });
  await refused(again, "FAILED_PRECONDITION", container.id);
  const exited = await container.ended();
  assert.equal(exited.exitCode, 3);
  assert.equal(exited.reason, "Error");
  assert.ok(created.createdAt < exited.startedAt && exited.startedAt < exited.finishedAt);
  assert.ok(exited.finishedAt - exited.startedAt > 150_000_000n, "it took as long as it did");
  await refused(bench.runtime.startContainer({ containerId: container.id }), "FAILED_PRECONDITION");
});

test("an exit status is that of the program, or 128 and the signal that ended it", async (bench) => {
  const sandbox = await bench.sandbox();
  for (
    const [script, exitCode, reason] of [
      ["exit 0", 0, "Completed"],
      ["exit 255", 255, "Error"],
      // The first process of a PID namespace ignores what it has no handler for, so a child dies.
      ["sh -c 'kill -9 $$'; exit $?", 137, "Error"],
      ["sh -c 'kill -11 $$'; exit $?", 139, "Error"],
    ] as const
  ) {
    const metadata = { name: `c${exitCode}`, attempt: 0 };
    const parts = { script, container: { metadata } };
    const container = await bench.created(sandbox, parts);
    await bench.runtime.startContainer({ containerId: container.id });
    const status = await container.ended();
    assert.deepEqual([status.exitCode, status.reason], [exitCode, reason], script);
  }
});

test("a container that uses more memory than it may is OOMKilled with 137", async (bench) => {
  const container = await bench.pod({
    script: "x=$(yes | head -c 200000000); echo survived",
    container: { linux: { resources: { memoryLimitInBytes: 32n << 20n } } },
  });
  const { exitCode, reason } = await container.ended();
  assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
});

test("StopContainer sends SIGTERM, and SIGKILL when the time is over", async (bench) => {
  const sandbox = await bench.sandbox();
  const polite = await bench.created(sandbox, {
    script: 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 1000 & wait $!; done',
    container: { metadata: { name: "polite" } },
  });
  const stubborn = await bench.created(sandbox, {
    script: 'trap "echo no" TERM; echo ready; while :; do sleep 0.1; done',
    container: { metadata: { name: "stubborn" } },
  });
  for (const { id } of [polite, stubborn]) await bench.runtime.startContainer({ containerId: id });
  await Promise.all([polite.says("ready"), stubborn.says("ready")]);
  await bench.runtime.stopContainer({ containerId: polite.id, timeout: 60n });
  assert.equal((await polite.status()).exitCode, 7);
  const started = performance.now();
  await bench.runtime.stopContainer({ containerId: stubborn.id, timeout: 1n });
  assert.ok(performance.now() - started >= 990, "it was given its second");
  assert.equal((await stubborn.status()).exitCode, 137);
  assert.ok((await stubborn.log()).some(({ text }) => text === "no"), "it heard the stop signal");
});

test("a second StopContainer brings the kill nearer and never puts it off", async (bench) => {
  const container = await bench.pod({
    script: 'trap "" TERM; echo ready; while :; do sleep 0.1; done',
  });
  await container.says("ready");
  const started = performance.now();
  const first = bench.runtime.stopContainer({ containerId: container.id, timeout: 600n });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const later = bench.runtime.stopContainer({ containerId: container.id, timeout: 900n });
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 1n });
  await Promise.all([first, later]);
  const tookMs = performance.now() - started;
  assert.ok(tookMs >= 1_000 && tookMs < 60_000, `${tookMs} ms`);
  assert.equal((await container.status()).exitCode, 137);
});

test("StopContainer with a time-out of 0 kills at once, and succeeds for what is not running", async (bench) => {
  const script = 'trap "echo heard" TERM; echo ready; while :; do sleep 0.1; done';
  const container = await bench.pod({ script });
  await container.says("ready");
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 0n });
  assert.equal((await container.status()).exitCode, 137);
  assert.ok((await container.log()).every(({ text }) => text !== "heard"));
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 0n });
  await bench.runtime.stopContainer({ containerId: "d".repeat(64), timeout: 1n });
  const created = await bench.created(await bench.sandbox());
  await bench.runtime.stopContainer({ containerId: created.id, timeout: 5n });
  assert.equal((await created.status()).state, ContainerState.CONTAINER_EXITED);
  await refused(
    bench.runtime.stopContainer({ containerId: created.id, timeout: -1n }),
    "INVALID_ARGUMENT",
    "timeout",
  );
});

test("the stop signal is the request's, else the image's", async (bench) => {
  const script = 'for s in TERM INT USR1; do trap "echo $s; exit 0" $s; done; echo ready; ' +
    "while :; do sleep 1000 & wait $!; done";
  const sandbox = await bench.sandbox();
  const heard = async (name: string, parts: object) => {
    const container = await bench.created(sandbox, {
      script,
      ...parts,
      container: { metadata: { name }, ...("container" in parts ? parts.container as object : {}) },
    });
    await bench.runtime.startContainer({ containerId: container.id });
    await container.says("ready");
    await bench.runtime.stopContainer({ containerId: container.id, timeout: 20n });
    return (await container.log()).at(-1)?.text;
  };
  assert.equal(await heard("default", {}), "TERM");
  assert.equal(await heard("image", { image: "interrupt" }), "INT");
  const request = { image: "interrupt", container: { stopSignal: Signal.SIGNAL_SIGUSR1 } };
  assert.equal(await heard("request", request), "USR1");
});

test("removing a container that runs stops it first; removing an unknown one succeeds", async (bench) => {
  const container = await bench.pod();
  await bench.runtime.removeContainer({ containerId: container.id });
  await refused(container.status(), "NOT_FOUND", container.id);
  await bench.runtime.removeContainer({ containerId: container.id });
  await Promise.all(
    [
      bench.runtime.removeContainer({ containerId: "" }),
      bench.runtime.stopContainer({ containerId: "" }),
      bench.runtime.startContainer({ containerId: "" }),
      bench.runtime.containerStatus({ containerId: "" }),
      bench.runtime.execSync({ containerId: "", cmd: ["true"] }),
      bench.runtime.reopenContainerLog({ containerId: "" }),
    ].map((call) => refused(call, "INVALID_ARGUMENT", "container_id")),
  );
});

test("containers are listed by id, sandbox, state and labels, all of which must match", async (bench) => {
  const first = await bench.sandbox();
  const second = await bench.sandbox();
  const a = await bench.created(first, { container: { labels: { app: "a" } } });
  const b = await bench.created(second, { container: { labels: { app: "a", extra: "1" } } });
  await bench.runtime.startContainer({ containerId: b.id });
  const listed = async (filter: object) =>
    (await bench.runtime.listContainers({ filter })).containers.map(({ id }) => id).sort();
  assert.deepEqual(await listed({}), [a.id, b.id].sort());
  assert.deepEqual(await listed({ id: a.id.slice(0, 12) }), [a.id]);
  assert.deepEqual(await listed({ podSandboxId: second.id.slice(0, 12) }), [b.id]);
  assert.deepEqual(await listed({ state: { state: ContainerState.CONTAINER_RUNNING } }), [b.id]);
  assert.deepEqual(await listed({ labelSelector: { app: "a" } }), [a.id, b.id].sort());
  assert.deepEqual(await listed({ labelSelector: { app: "a" }, podSandboxId: first.id }), [a.id]);
  assert.deepEqual(await listed({ id: b.id, labelSelector: { app: "b" } }), []);
});

test("a container's status names its image by id, and carries labels and annotations as given", async (bench) => {
  const labels = { "io.kubernetes.container.name": "main" };
  const annotations = { "example.com/ключ": "значение\n2" };
  const container = await bench.pod({ container: { labels, annotations } });
  const status = await container.status();
  const { image } = await bench.client.images.imageStatus({ image: { image: bench.image() } });
  assert.equal(status.imageId, image?.id);
  assert.equal(status.imageRef, image?.repoDigests[0]);
  assert.equal(status.image?.image, bench.image());
  assert.deepEqual([status.labels, status.annotations], [labels, annotations]);
  assert.ok(status.startedAt > status.createdAt);
});

test("a container made from an image's id has the image's name in its status, as the pod's author wrote it", async (bench) => {
  const { image } = await bench.client.images.imageStatus({ image: { image: bench.image() } });
  const container = await bench.created(await bench.sandbox(), {
    container: { image: { image: image!.id, userSpecifiedImage: bench.image() } },
  });
  assert.equal((await container.status()).image?.image, bench.image());
  await bench.restart("kill");
  assert.equal((await container.status()).image?.image, bench.image());
});

test("output goes to a log in the CRI's format, a line without an end is marked as partial", async (bench) => {
  const container = await bench.pod({
    script: "echo out; echo err >&2; printf 'no end'; sleep 0.2",
  });
  await container.ended();
  const lines = await container.log();
  const of = (stream: string) =>
    lines.filter((line) => line.stream === stream).map(({ tag, text }) => [tag, text]);
  assert.deepEqual(of("stdout"), [["F", "out"], ["P", "no end"]]);
  assert.deepEqual(of("stderr"), [["F", "err"]]);
  for (const { time } of lines) {
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$/);
  }
});

test("names and the path of a log may be of any script", async (bench) => {
  const container = await bench.pod({
    script: "echo out",
    pod: {
      metadata: { name: "größe", namespace: "空間", uid: "uid-½", attempt: 0 },
      logDirectory: `${bench.node.logDir}/größe`,
    },
    container: { metadata: { name: "wörk", attempt: 0 }, logPath: "wörk/½.log" },
  });
  await container.ended();
  assert.deepEqual((await container.log()).map(({ text }) => text), ["out"]);
  assert.equal(await (await bench.pod({ container: { logPath: "ä.log" } })).sh("echo ö"), "ö");
});

test("a log line is written whole up to what the monitor reads at once, and in parts beyond", async (bench) => {
  // One write each; conmon reads 8 KiB, of which the line break is one.
  const write = (count: number) => `dd if=/dev/zero bs=${count} count=1 2>/dev/null | tr '\\0' x`;
  const container = await bench.pod({
    script: [8_191, 8_192, 20_000].map((count) => `echo "$(${write(count)})"`).join(
      "; sleep 0.5; ",
    ),
  });
  await container.ended();
  const lines: string[] = [];
  let parts = 0;
  let open = "";
  for (const { tag, text } of await container.log()) {
    parts++;
    open += text;
    if (tag === "F") [lines[lines.length], open] = [open, ""];
  }
  assert.deepEqual(lines.map(({ length }) => length), [8_191, 8_192, 20_000]);
  const [first] = await container.log();
  assert.deepEqual([first?.tag, first?.text.length], ["F", 8_191]);
  assert.ok(parts > lines.length, "longer ones came in parts");
});

test("ReopenContainerLog writes on in a new file, and loses nothing when the file is the same", async (bench) => {
  const container = await bench.pod({
    script: "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.005; done",
  });
  const { logPath } = await container.status();
  const reopen = () => bench.runtime.reopenContainerLog({ containerId: container.id });
  await eventually("there is a log", async () => (await Deno.stat(logPath)).size > 0 || undefined);
  await reopen();
  await Deno.rename(logPath, `${logPath}.1`);
  await reopen();
  await reopen();
  await container.ended();
  const [before, after] = await Promise.all([
    Deno.readTextFile(`${logPath}.1`),
    Deno.readTextFile(logPath),
  ]);
  const numbers = parseLog(before + after).map(({ text }) => Number(text));
  assert.deepEqual(numbers, Array.from({ length: 400 }, (_, index) => index));
  await refused(reopen(), "FAILED_PRECONDITION", container.id, "exited");
});

test("the log of a container that was not started is reopened, and has what it writes then", async (bench) => {
  const container = await bench.created(await bench.sandbox(), { script: "echo out" });
  const { logPath } = await container.status();
  await Deno.rename(logPath, `${logPath}.1`);
  await bench.runtime.reopenContainerLog({ containerId: container.id });
  await bench.runtime.startContainer({ containerId: container.id });
  await container.ended();
  assert.deepEqual((await container.log()).map(({ text }) => text), ["out"]);
});

test("a log is reopened while a stop waits for its container, and not once that has ended", async (bench) => {
  const container = await bench.pod({
    script: "trap 'echo asked to stop' TERM; echo ready; while :; do sleep 0.1; done",
  });
  await container.says("ready");
  const { logPath } = await container.status();
  const reopen = () => bench.runtime.reopenContainerLog({ containerId: container.id });
  const stop = bench.runtime.stopContainer({ containerId: container.id, timeout: 600n });
  await container.says("asked to stop");
  await Deno.rename(logPath, `${logPath}.1`);
  await reopen();
  assert.equal((await container.status()).state, ContainerState.CONTAINER_RUNNING);
  assert.ok((await Deno.stat(logPath)).isFile);
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 0n });
  await stop;
  await refused(reopen(), "FAILED_PRECONDITION", container.id, "exited");
});

test("a log path is relative and stays below its directory", async (bench) => {
  const sandbox = await bench.sandbox();
  for (const logPath of ["/etc/passwd", "../x.log", "a/../../x.log", "a\0b"]) {
    const refusal = bench.created(sandbox, { container: { logPath } });
    await refused(refusal, "INVALID_ARGUMENT", "config.log_path");
  }
  const container = await bench.created(sandbox, {
    script: "echo deep",
    container: { logPath: "a/b/c.log" },
  });
  await bench.runtime.startContainer({ containerId: container.id });
  await container.ended();
  assert.equal((await container.log())[0]?.text, "deep");
});

test("what a container asks for that is not built yet is UNIMPLEMENTED by name, and nothing is made", async (bench) => {
  const sandbox = await bench.sandbox();
  const before = await bench.node.residue();
  const asking: [object, string][] = [
    [{ CDIDevices: [{ name: "vendor.com/gpu=0" }] }, "config.CDI_devices"],
    [{ mounts: [{ containerPath: "/x", image: { image: bench.image() } }] }, "config.mounts.image"],
    [
      { linux: { securityContext: { selinuxOptions: { role: "r" } } } },
      "config.linux.security_context.selinux_options",
    ],
  ];
  for (const [container, field] of asking) {
    await refused(bench.created(sandbox, { container }), "UNIMPLEMENTED", field, "remedy");
  }
  assert.deepEqual((await bench.runtime.listContainers({})).containers, []);
  assert.deepEqual(await bench.node.residue(), before);
});

test("a container that is stopped before its program has a handler hears of it, and is not killed", async (bench) => {
  const container = await bench.pod({
    script: "sleep 2; trap 'exit 7' TERM; while :; do sleep 0.1; done",
  });
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 120n });
  const { exitCode, reason } = await container.ended();
  assert.deepEqual([exitCode, reason], [7, "Error"]);
});
