/** Each command of the command line: its table, its JSON, its exit status, its refusals. */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { loadBusybox, type Result, sauropod, spawnSauropod } from "../support/command_line.ts";
import { TestNode } from "../support/test_node.ts";

const NAME = "docker.io/library/bb:1";

/** What a command prints when all is well. */
async function ok(node: TestNode, ...args: string[]): Promise<string> {
  const { code, out, err } = await sauropod(node, args);
  assert.equal(code, 0, `${args.join(" ")}: ${out}${err}`);
  return out;
}

function fails({ code, err }: Result, status: number, message: RegExp): void {
  assert.match(err, message);
  assert.equal(code, status, err);
}

function cells(table: string): string[][] {
  return table.trimEnd().split("\n").map((line) => line.split(/ {2,}/));
}

Deno.test("version, check and config need no server", async (t) => {
  await using node = await TestNode.make();

  await t.step("version", async () => {
    assert.match(await ok(node, "version"), /^version: +\d+\.\d+\.\d+/);
    assert.match(await ok(node, "--version"), /^version: +\d/);
    assert.equal(JSON.parse(await ok(node, "version", "-o", "json")).criApi, "runtime.v1");
    assert.equal(JSON.parse(await ok(node, "version", "-j", "-v")).typescript.split(".").length, 3);
    assert.match(await ok(node, "version", "-o", "yaml"), /^criApi: runtime\.v1$/m);
  });

  await t.step("what CRI-O's commands do that is not here is said", async () => {
    assert.equal(await ok(node, "wipe"), "");
    fails(await sauropod(node, ["wipe", "-f"]), 1, /not built\n {2}remove all pods and images/);
    fails(await sauropod(node, ["check", "--repair"]), 1, /--repair is not built.*\n {2}restart/);
    fails(await sauropod(node, ["status", "heap"]), 1, /status heap is not built/);
  });

  await t.step("check", async () => {
    const table = await ok(node, "check", "--config", node.configPath);
    assert.match(table, /^ok +overlay/m);
    assert.match(table, /^ok +shared PID namespaces +held by \S*catatonit$/m);
    assert.match(table, /This node can run pods\.\n$/);
    const report = JSON.parse(await ok(node, "check", "--config", node.configPath, "-o", "json"));
    assert.equal(report.ready, true);
  });

  await t.step("colours come when asked for, and only then", async () => {
    const check = ["check", "--config", node.configPath];
    assert.equal((await ok(node, ...check)).includes("\x1b"), false);
    assert.ok((await ok(node, ...check, "--color", "always")).includes("\x1b[32mok"));
    fails(await sauropod(node, [...check, "--color", "blue"]), 1, /--color "blue" is not known/);
    fails(await sauropod(node, ["pulll"]), 2, /no command "pulll".*\n {2}perhaps pull is meant/);
  });

  await t.step("completion, man and markdown are printed", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      assert.match(await ok(node, "complete", shell), /sauropod/);
    }
    fails(await sauropod(node, ["completion", "csh"]), 1, /no completion for "csh"\n {2}give bash/);
    assert.match(await ok(node, "man"), /^\.TH SAUROPOD 8/);
    assert.match(await ok(node, "md"), /^# Commands$/m);
  });

  await t.step("check says what is missing and how to get it", async () => {
    const config = `${node.directory}/lacking.toml`;
    const text = await Deno.readTextFile(node.configPath);
    await Deno.writeTextFile(config, text.replace(`${node.directory}/cni`, "/nonexistent"));
    const { out } = await sauropod(node, ["check", "--config", config]);
    assert.match(out, /^(missing|warning) +network +.*\/nonexistent/m);
  });

  await t.step("config prints a file that config check accepts", async () => {
    const path = `${node.directory}/printed.toml`;
    await Deno.writeTextFile(path, await ok(node, "config", "--config", node.configPath));
    assert.match(await ok(node, "config", "check", path), /: 0 errors, \d+ warnings?\n$/);
  });

  await t.step("config convert makes a file of ours, and says what cannot be kept", async () => {
    const crio = `${node.directory}/crio.conf`;
    await Deno.writeTextFile(
      crio,
      '[crio]\nlog_dir = "/var/log/x"\ninternal_wipe = false\n[crio.runtime]\nodd = 1\n',
    );
    const { code, out, err } = await sauropod(node, ["config", "convert", crio]);
    assert.equal(code, 0, err);
    assert.match(out, /^log_dir = "\/var\/log\/x"$/m);
    assert.match(err, /^left out: internal_wipe = false .* has no effect: /m);
    assert.match(err, /^unknown: .*no key crio\.runtime\.odd/m);
    const path = `${node.directory}/converted.toml`;
    await Deno.writeTextFile(path, out);
    assert.match(await ok(node, "config", "check", path), /: 0 errors/);
    fails(
      await sauropod(node, ["config", "convert", path]),
      1,
      /is no crio\.conf\n {2}name a file/,
    );
  });

  await t.step("config check names the key that was meant", async () => {
    const path = `${node.directory}/wrong.toml`;
    await Deno.writeTextFile(path, '[sauropod.runtime]\ndefault_runtme = "runc"\n');
    const { code, out } = await sauropod(node, ["config", "check", path]);
    assert.equal(code, 1);
    assert.match(out, /error: .*default_runtme, perhaps default_runtime is meant/);
  });
});

Deno.test("serve refuses a root in use, and a configuration that is not there", async () => {
  await using node = await TestNode.make();
  await using _server = await node.start();
  fails(
    await sauropod(node, ["serve", "--config", node.configPath]),
    1,
    /is in use by process \d+\n {2}stop that process, or/,
  );
  fails(await sauropod(node, ["--config", "/nonexistent"]), 1, /there is no such file\n {2}name/);
  fails(await sauropod(node, ["--socket", "/x", "ps"]), 2, /options come after the command/);
});

Deno.test("status tells the conditions, and fails while the network is not ready", async () => {
  await using node = await TestNode.make();
  await using _server = await node.start();
  assert.match(await ok(node, "status"), /NetworkReady: +yes/);
  const { status } = JSON.parse(await ok(node, "status", "-o", "json"));
  assert.equal(status.conditions.length, 2);
  await Deno.remove(`${node.directory}/cni/10-test.conflist`);
  // The folder is watched: the change is seen, but not in the same instant.
  let result = await sauropod(node, ["status"]);
  for (let tries = 0; result.code === 0 && tries < 50; tries++) {
    result = await sauropod(node, ["status"]);
  }
  assert.equal(result.code, 1);
  assert.match(result.out, /NetworkReady: +no: /);
});

Deno.test("images come by pull or load, are listed and inspected, and go by rmi", async (t) => {
  await using registry = await startRegistry();
  await registry.push("cli/busybox", "1", busyboxImage());
  await using node = await TestNode.make({ insecureRegistries: [registry.address] });
  await using _server = await node.start();
  const pulled = `${registry.address}/cli/busybox:1`;

  await t.step("pull prints the reference, its progress elsewhere", async () => {
    assert.match(await ok(node, "pull", pulled), /^\S*[0-9a-f]{64}\n$/);
    fails(
      await sauropod(node, ["pull", "-q", `${registry.address}/cli/nothing:1`]),
      1,
      /cli\/nothing/,
    );
  });

  await t.step("load takes a file, and standard input", async () => {
    await loadBusybox(node, NAME);
    fails(await sauropod(node, ["load", "/nonexistent"]), 1, /there is no such file/);
    fails(await sauropod(node, ["load"], "this is no archive"), 1, /^error: /);
  });

  await t.step("images: table, JSON, ids", async () => {
    const [header, ...rows] = cells(await ok(node, "images"));
    assert.deepEqual(header, ["IMAGE", "TAG", "IMAGE ID", "SIZE"]);
    assert.deepEqual(rows.map(([image, tag]) => `${image}:${tag}`).sort(), [NAME, pulled].sort());
    const { images } = JSON.parse(await ok(node, "images", "-o", "json"));
    assert.equal((await ok(node, "images", "-q")).trim().split("\n").length, images.length);
  });

  await t.step("inspect by name and by the beginning of the id", async () => {
    const { kind, image } = JSON.parse(await ok(node, "inspect", "bb:1"));
    assert.equal(kind, "image");
    assert.deepEqual(JSON.parse(await ok(node, "inspect", image.id.slice(0, 8))).image, image);
  });

  await t.step("rmi goes on after one that is not there", async () => {
    const result = await sauropod(node, ["rmi", "nothing", NAME, pulled]);
    fails(result, 1, /There is no image "nothing"\n {2}see sauropod images/);
    assert.equal(result.out, `${NAME}\n${pulled}\n`);
    assert.deepEqual(cells(await ok(node, "images")).length, 1);
  });
});

Deno.test("pods and containers by the command line", async (t) => {
  await using node = await TestNode.make();
  await using _server = await node.start();
  await loadBusybox(node, NAME);
  const id = (await ok(node, "run", "-d", "--name", "web", "bb:1", "sleep", "1000")).trim();
  const podId = (await ok(node, "pods", "-q")).trim();

  await t.step("pods: table and JSON", async () => {
    const [header, row] = cells(await ok(node, "pods"));
    assert.deepEqual(header?.slice(0, 5), ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE"]);
    assert.deepEqual([row?.[0], ...row!.slice(2, 5)], [
      podId.slice(0, 13),
      "Ready",
      "web",
      "default",
    ]);
    const { items } = JSON.parse(await ok(node, "pods", "-o", "json"));
    assert.deepEqual([items[0].id, items[0].state], [podId, "SANDBOX_READY"]);
  });

  await t.step("ps: table, JSON, by pod", async () => {
    const [, row] = cells(await ok(node, "ps", "--pod", "web"));
    assert.deepEqual([row?.[0], row?.[1], row?.[3]], [id.slice(0, 13), "bb:1", "Running"]);
    const { containers } = JSON.parse(await ok(node, "ps", "-o", "json"));
    assert.equal(containers[0].state, "CONTAINER_RUNNING");
    fails(
      await sauropod(node, ["ps", "-o", "xml"]),
      1,
      /Cannot write the output as "xml"\n {2}give/,
    );
    assert.match(await ok(node, "ps", "-o", "yaml"), /^containers:\n {2}- id: [0-9a-f]{64}$/m);
    assert.equal(
      await ok(node, "ps", "-q", "--filter", "name=we", "-f", "status=running"),
      `${id}\n`,
    );
    assert.equal(await ok(node, "ps", "-q", "-f", "label=io.kubernetes.pod.name=no"), "");
    assert.equal(await ok(node, "pods", "-q", "-f", "state=ready"), `${podId}\n`);
    fails(await sauropod(node, ["ps", "-f", "nmae=x"]), 1, /not known\n {2}perhaps name is meant/);
  });

  await t.step("status tells configuration, info and containers, as CRI-O's does", async () => {
    assert.match(await ok(node, "status", "config"), /^\[sauropod\.runtime\]$/m);
    assert.match(await ok(node, "status", "info"), /^storage driver: +overlay$/m);
    const told = JSON.parse(await ok(node, "status", "containers", "--id", "web", "-o", "json"));
    assert.match(told.name, /^k8s_web_web_default_[0-9a-f-]{36}_0$/);
    assert.deepEqual([told.sandbox, told.host_network], [podId, false]);
    assert.ok(told.pid > 1);
    fails(await sauropod(node, ["status", "containers"]), 1, /--id is missing/);
  });

  await t.step("inspect names states and namespace modes", async () => {
    const { kind, status } = JSON.parse(await ok(node, "inspect", podId.slice(0, 6)));
    assert.deepEqual([kind, status.state], ["pod", "SANDBOX_READY"]);
    assert.equal(status.linux.namespaces.options.network, "POD");
    const both = JSON.parse(await ok(node, "inspect", id, podId));
    assert.deepEqual(both.map((one: { kind: string }) => one.kind), ["container", "pod"]);
    fails(
      await sauropod(node, ["inspect", "nope"]),
      1,
      /no container, pod or image "nope"\n {2}see/,
    );
  });

  await t.step("exec passes output, standard error and exit status on", async () => {
    const script = ["sh", "-c", "echo out; echo err >&2; exit 4"];
    assert.deepEqual(await sauropod(node, ["exec", id.slice(0, 6), ...script]), {
      code: 4,
      out: "out\n",
      err: "err\n",
    });
    assert.match(await ok(node, "exec", "web", "hostname"), /^web\n$/);
    fails(await sauropod(node, ["exec", "web"]), 1, /nothing.*\n {2}give a command/);
    fails(await sauropod(node, ["exec", "web", "nope"]), 1, /executable file not found/);
    fails(
      await sauropod(node, ["exec", "--timeout", "1s", "web", "sleep", "60"]),
      1,
      /was killed.*\n {2}give --timeout more time/,
    );
  });

  await t.step("a container is not taken for its pod", async () => {
    fails(await sauropod(node, ["stop", podId]), 1, /no container .*, but a pod\n {2}give --pod/);
    fails(await sauropod(node, ["rm", "web"]), 1, /runs\n {2}stop it first, or give --force/);
    fails(await sauropod(node, ["rm"]), 2, /Name what to remove/);
  });

  await t.step("stop, then rm, one after the other", async () => {
    assert.equal(await ok(node, "stop", "-t", "1", "web"), "web\n");
    assert.equal(await ok(node, "ps", "-q"), "");
    assert.equal(await ok(node, "ps", "-a", "-q"), `${id}\n`);
    assert.equal(await ok(node, "rm", id.slice(0, 10)), `${id.slice(0, 10)}\n`);
    fails(await sauropod(node, ["exec", "web", "true"]), 1, /The pod "web" has no container/);
    assert.equal(await ok(node, "stop", "-p", "web"), "web\n");
    assert.match(await ok(node, "pods"), /NotReady/);
    assert.equal(await ok(node, "rm", "-p", "web"), "web\n");
  });

  await t.step("rm --all --force takes what runs", async () => {
    await ok(node, "run", "-d", "bb:1", "sleep", "1000");
    await ok(node, "run", "-d", "bb:1", "sleep", "1000");
    assert.equal((await ok(node, "rm", "-paf")).trim().split("\n").length, 2);
    assert.deepEqual(await node.residue(), []);
  });
});

Deno.test("logs -f shows lines as they are written and ends with the container", async () => {
  await using node = await TestNode.make();
  await using _server = await node.start();
  await loadBusybox(node, NAME);
  const script = "echo one; until [ -e /go ]; do sleep 0.05; done; echo two; echo three >&2";
  await ok(node, "run", "-d", "--name", "talk", "bb:1", "sh", "-c", script);
  const following = spawnSauropod(node, ["logs", "-f", "talk"]);
  await following.stdin.close();
  const reader = following.stdout.getReader();
  const first = await reader.read();
  assert.equal(new TextDecoder().decode(first.value), "one\n");
  reader.releaseLock();
  await ok(node, "exec", "talk", "touch", "/go");
  const rest = await following.output();
  assert.deepEqual(
    [rest.code, new TextDecoder().decode(rest.stdout), new TextDecoder().decode(rest.stderr)],
    [0, "two\n", "three\n"],
  );
  assert.match(await ok(node, "logs", "--tail", "2", "-t", "talk"), /^\d{4}-\S+Z? two\n$/);
  assert.equal(await ok(node, "logs", "--since", "10m", "talk"), "one\ntwo\n");
  assert.equal(await ok(node, "logs", "--since", "2100-01-01", "talk"), "");
  fails(await sauropod(node, ["logs", "-p", "talk"]), 1, /no attempt of "talk" before 0/);
  fails(await sauropod(node, ["logs", "--tail", "many", "talk"]), 1, /is no number of lines/);
  await ok(node, "rm", "-paf");
});

Deno.test("an interrupted logs -f ends, and the container goes on", async () => {
  await using node = await TestNode.make();
  await using _server = await node.start();
  await loadBusybox(node, NAME);
  await ok(node, "run", "-d", "--name", "talk", "bb:1", "sh", "-c", "echo one; sleep 1000");
  const following = spawnSauropod(node, ["logs", "-f", "talk"]);
  await following.stdin.close();
  const reader = following.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  following.kill("SIGINT");
  assert.notEqual((await following.output()).code, 0);
  assert.match(await ok(node, "ps"), /Running +talk/);
  await ok(node, "rm", "-paf");
});

Deno.test("every command has help that shows its options", async () => {
  await using node = await TestNode.make();
  const overview = await ok(node, "--help");
  const commands = [...overview.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);
  assert.ok(commands.length >= 18, overview);
  for (const command of commands) {
    assert.match(await ok(node, command, "--help"), new RegExp(`^Usage: sauropod ${command}`));
  }
});
