import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from "../errors/mod.ts";
import { assertUsable, loadConfiguration, type LoadOptions } from "./load.ts";
import type { NodeFacts } from "./node_facts.ts";

/** A node with runc and conmon, and with what is given. */
function node(
  facts: { programs?: string[]; files?: Record<string, string[]>; systemd?: boolean } = {},
): NodeFacts {
  const programs = (facts.programs ?? ["runc", "conmon"]).map((name) => `/usr/bin/${name}`);
  return {
    findExecutable: (name) =>
      Promise.resolve(programs.find((program) => program === `/usr/bin/${name}`)),
    isExecutable: (path) => Promise.resolve(programs.includes(path)),
    list: (directory) => Promise.resolve(facts.files?.[directory] ?? []),
    hasSystemd: () => Promise.resolve(facts.systemd ?? false),
  };
}

async function withFile(
  name: string,
  content: string | Uint8Array,
  body: (path: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-config-" });
  try {
    const path = `${directory}/${name}`;
    await Deno.writeFile(
      path,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    await body(path, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const none: LoadOptions = { configPath: "", node: node() };

Deno.test("loadConfiguration() without a file gives our own defaults without a warning", async () => {
  const loaded = await loadConfiguration({
    ...none,
    node: node({ programs: ["crun", "runc", "conmon"] }),
    flags: new Map([["cgroup-manager", ["cgroupfs"]]]),
  });
  assert.deepEqual(loaded.notices, []);
  assert.equal(loaded.configuration.base.root, "/var/lib/sauropod");
  assert.equal(loaded.configuration.api.listen, "/run/sauropod/sauropod.sock");
  assert.equal(loaded.configuration.runtime.default_runtime, "crun");
});

Deno.test("loadConfiguration() takes runc when nothing is configured and crun is missing", async () => {
  const { configuration, notices } = await loadConfiguration(none);
  assert.equal(configuration.runtime.default_runtime, "runc");
  assert.equal(configuration.runtime.runtimes.runc?.runtime_path, "/usr/bin/runc");
  assert.equal(configuration.runtime.runtimes.runc?.runtime_root, "/run/runc");
  assert.equal(configuration.runtime.cgroup_manager, "cgroupfs");
  assert.deepEqual(notices.map((notice) => notice.level), ["warning", "info"]);
});

Deno.test("systemd makes the cgroups of a node that it runs, unless cgroupfs is asked for", async () => {
  const systemd = node({ systemd: true });
  const preset = await loadConfiguration({ ...none, node: systemd });
  assert.equal(preset.configuration.runtime.cgroup_manager, "systemd");
  assert.ok(preset.notices.every(({ key }) => key !== "runtime.cgroup_manager"));
  const flags = new Map([["cgroup-manager", ["cgroupfs"]]]);
  const told = await loadConfiguration({ ...none, node: systemd, flags });
  assert.equal(told.configuration.runtime.cgroup_manager, "cgroupfs");
});

Deno.test("monitors go into slices only where systemd makes the cgroups", async () => {
  const toml = `[sauropod.runtime]
default_runtime = "runc"
[sauropod.runtime.runtimes.runc]
runtime_path = "/usr/bin/runc"
monitor_cgroup = "monitors.slice"
`;
  await withFile("sauropod.toml", toml, async (configPath) => {
    const load = async (systemd: boolean) => {
      const flags = new Map([["cgroup-manager", [systemd ? "systemd" : "cgroupfs"]]]);
      const on = node({ systemd });
      const loaded = await loadConfiguration({ ...none, configPath, node: on, flags });
      const errors = loaded.notices.filter(({ level }) => level === "error");
      return { errors, handler: loaded.configuration.runtime.runtimes.runc };
    };
    const { errors, handler } = await load(true);
    assert.deepEqual([errors, handler?.monitor_cgroup], [[], "monitors.slice"]);
    assert.match((await load(false)).errors[0]?.message ?? "", /monitor_cgroup.*systemd/);
  });
});

Deno.test("loadConfiguration() reads an ordinary crio.conf with CRI-O's defaults", async () => {
  const conf = `
[crio]
root = "/data"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
No_Pivot = true
[crio.runtime.runtimes.runc]
runtime_path = "/usr/bin/runc"
monitor_path = "/usr/bin/conmon"
[crio.image]
pause_image = "registry.k8s.io/pause:3.9"
`;
  await withFile("crio.conf", conf, async (configPath) => {
    const loaded = await loadConfiguration({ ...none, configPath });
    const { configuration } = loaded;
    assert.equal(loaded.flavour, "crio");
    assert.equal(configuration.base.root, "/data");
    assert.equal(configuration.base.runroot, "/run/containers/storage");
    assert.equal(configuration.api.listen, "/var/run/crio/crio.sock");
    assert.equal(configuration.runtime.no_pivot, true);
    assert.deepEqual(Object.keys(configuration.runtime.runtimes), ["runc"]);
    assert.deepEqual(loaded.sources.get("root"), { kind: "file", name: configPath });
    assert.deepEqual(loaded.notices.map((notice) => [notice.level, notice.key]), [
      ["warning", "runtime.conmon_cgroup"],
      ["warning", "image.pause_image"],
    ]);
    assertUsable(loaded);
  });
});

Deno.test("loadConfiguration() reads YAML by suffix and by its first byte", async () => {
  const yaml =
    "sauropod:\n  runtime:\n    pids_limit: 100\n  image:\n    pull_progress_timeout: 30s\n";
  await withFile("sauropod.yaml", yaml, async (configPath) => {
    const { configuration } = await loadConfiguration({ ...none, configPath });
    assert.equal(configuration.runtime.pids_limit, 100);
    assert.equal(configuration.image.pull_progress_timeout, 30_000);
  });
  await withFile("plain", `{"crio": {"log_dir": "/logs"}}`, async (configPath) => {
    const { configuration } = await loadConfiguration({ ...none, configPath });
    assert.equal(configuration.base.log_dir, "/logs");
  });
});

Deno.test("loadConfiguration() refuses aliases, doubled keys and overlong files", async () => {
  for (
    const [name, content] of [
      ["a.yaml", "crio: {api: &a {listen: /x}, image: *a}"],
      ["a.yaml", "crio: {root: /a, root: /b}"],
      ["a.toml", "[crio]\nroot = '/a'\nroot = '/b'\n"],
      ["a.toml", "#".repeat((1 << 20) + 1)],
      ["a.toml", new Uint8Array([0xff, 0xfe])],
    ] as const
  ) {
    await withFile(name, content, async (configPath) => {
      await assert.rejects(loadConfiguration({ ...none, configPath }), InvalidArgumentError);
    });
  }
});

Deno.test("loadConfiguration() lays drop-ins, environment and flags over the file, in this order", async () => {
  await withFile(
    "sauropod.toml",
    "[sauropod.runtime]\npids_limit = 1\n",
    async (configPath, dir) => {
      await Deno.mkdir(`${dir}/sauropod.conf.d/z`, { recursive: true });
      await Deno.writeTextFile(`${dir}/sauropod.conf.d/10.toml`, "sauropod.runtime.pids_limit = 2");
      const value = async (extra: Partial<LoadOptions>) =>
        (await loadConfiguration({ ...none, configPath, ...extra })).configuration.runtime
          .pids_limit;
      assert.equal(await value({}), 2);
      await Deno.writeTextFile(`${dir}/sauropod.conf.d/z/1`, "crio.runtime.pids_limit = 3");
      assert.equal(await value({}), 3);
      const env = { CONTAINER_PIDS_LIMIT: "4" };
      assert.equal(await value({ env }), 4);
      assert.equal(await value({ env, flags: new Map([["pids-limit", ["5"]]]) }), 5);
      assert.equal(await value({ configDir: "" }), 1);
    },
  );
});

Deno.test("loadConfiguration() adds storage options and replaces every other array", async () => {
  const toml =
    `[sauropod]\nstorage_option = ["a=1", "b=2"]\n[sauropod.runtime]\ndefault_env = ["A=1"]`;
  await withFile("sauropod.toml", toml, async (configPath) => {
    const { configuration } = await loadConfiguration({
      ...none,
      configPath,
      flags: new Map([["storage-opt", ["a=1,c=3"]], ["default-env", ["B=2", "C=3"]]]),
    });
    assert.deepEqual(configuration.base.storage_option, ["b=2", "a=1", "c=3"]);
    assert.deepEqual(configuration.runtime.default_env, ["B=2", "C=3"]);
  });
});

Deno.test("loadConfiguration() names the nearest key for an unknown one of ours, and warns in a crio.conf", async () => {
  await withFile("sauropod.toml", "[sauropod.api]\nlisen = '/x'\n", async (configPath) => {
    const loaded = await loadConfiguration({ ...none, configPath });
    const error = loaded.notices.find((notice) => notice.level === "error");
    assert.match(error?.message ?? "", /no key sauropod\.api\.lisen, perhaps listen is meant/);
    assert.throws(() => assertUsable(loaded), FailedPreconditionError);
  });
  await withFile("crio.conf", "[crio.api]\nlisen = '/x'\n", async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    assert.equal(notices.find((notice) => notice.key === "api.lisen")?.level, "warning");
  });
});

Deno.test("loadConfiguration() names file, key, value and type of a wrong value", async () => {
  const toml =
    `[crio.runtime]\npids_limit = "many"\nno_pivot = 1\n[crio.image]\npinned_images = "a"\n`;
  await withFile("crio.conf", toml, async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    const messages = notices.filter((notice) => notice.level === "error").map((n) => n.message);
    assert.deepEqual(messages, [
      `${configPath}: crio.runtime.pids_limit must be an integer, not "many"`,
      `${configPath}: crio.runtime.no_pivot must be true or false, not 1`,
      `${configPath}: crio.image.pinned_images must be an array of strings, not "a"`,
    ]);
  });
});

Deno.test("loadConfiguration() refuses a key that both roots of one file set", async () => {
  const toml = `[crio.api]\nlisten = "/a"\n[sauropod.api]\nlisten = "/b"\n`;
  await withFile("sauropod.toml", toml, async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    assert.match(
      notices.find((notice) => notice.level === "error")?.message ?? "",
      /sets crio\.api\.listen and sauropod\.api\.listen/,
    );
  });
});

Deno.test("loadConfiguration() stops the start for trust, isolation and placement that are not built", async () => {
  for (
    const [key, flags] of [
      ["runtime.selinux", [["selinux", ["true"]]]],
      ["runtime.uid_mappings", [["uid-mappings", ["0:1000:10"]]]],
      ["runtime.gid_mappings", [["gid-mappings", ["0:1000:10"]]]],
      ["runtime.cgroup_manager", [["cgroup-manager", ["systemd"]]]],
      ["runtime.infra_ctr_cpuset", [["infra-ctr-cpuset", ["0-1"]]]],
      ["runtime.privileged_seccomp_profile", [["privileged-seccomp-profile", ["/x.json"]]]],
      ["runtime.seccomp_profile", [["seccomp-profile", ["/etc/absent.json"]]]],
      ["storage_driver", [["storage-driver", ["btrfs"]]]],
    ] as [string, [string, string[]][]][]
  ) {
    const loaded = await loadConfiguration({ ...none, flags: new Map(flags) });
    const keys = loaded.notices.filter((n) => n.level === "error").map((n) => n.key);
    assert.deepEqual(keys, [key]);
  }
  const workloads = `[crio.runtime.workloads.w]\nactivation_annotation = "a"\n`;
  await withFile("crio.conf", workloads, async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    assert.ok(notices.some((n) => n.level === "error" && n.key === "runtime.workloads.w"));
  });
});

Deno.test("loadConfiguration() leaves out a handler that cannot be used and stops for a default one", async () => {
  const toml = (defaultRuntime: string) => `
[crio.runtime]
default_runtime = "${defaultRuntime}"
[crio.runtime.runtimes.runc]
[crio.runtime.runtimes.kata]
runtime_type = "vm"
[crio.runtime.runtimes.pinned]
inherit_default_runtime = true
seccomp_profile = "/etc/p.json"
[crio.runtime.runtimes.second]
inherit_default_runtime = true
`;
  await withFile("crio.conf", toml("runc"), async (configPath) => {
    const { configuration, notices } = await loadConfiguration({ ...none, configPath });
    assert.deepEqual(Object.keys(configuration.runtime.runtimes), ["runc", "second"]);
    assert.equal(configuration.runtime.runtimes.second?.runtime_path, "/usr/bin/runc");
    assert.deepEqual(
      notices.filter((n) => n.key.startsWith("runtime.runtimes")).map((n) => [n.level, n.key]),
      [["warning", "runtime.runtimes.kata"], ["warning", "runtime.runtimes.pinned"]],
    );
  });
  await withFile("crio.conf", toml("kata"), async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    assert.ok(notices.some((n) => n.level === "error" && n.key === "runtime.runtimes.kata"));
  });
  await withFile("crio.conf", toml("absent"), async (configPath) => {
    const { notices } = await loadConfiguration({ ...none, configPath });
    assert.ok(notices.some((n) => n.level === "error" && n.key === "runtime.default_runtime"));
  });
});

Deno.test("loadConfiguration() reports features to come and keys without effect as warnings", async () => {
  const loaded = await loadConfiguration({
    ...none,
    flags: new Map([
      ["enable-metrics", ["true"]],
      ["insecure-registry", ["r:5000"]],
      ["cni-status-grace-period", ["30s"]],
    ]),
  });
  assertUsable(loaded);
  const messages = loaded.notices.map((notice) => notice.message).join("\n");
  assert.match(
    messages,
    /metrics\.enable_metrics = true \(--enable-metrics\) is accepted, not in effect yet/,
  );
  assert.match(
    messages,
    /image\.insecure_registries = \["r:5000"\] .* has no effect: registries\.conf/,
  );
});

Deno.test("loadConfiguration() fails for a file that was asked for and does not exist", async () => {
  await assert.rejects(
    loadConfiguration({ ...none, configPath: "/nonexistent/crio.conf" }),
    NotFoundError,
  );
});

Deno.test("loadConfiguration() says what monitor_cgroup means without systemd", async () => {
  const noticesOf = async (cgroup: string) => {
    const conf = `
[crio.runtime]
default_runtime = "runc"
[crio.runtime.runtimes.runc]
runtime_path = "/usr/bin/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "${cgroup}"
`;
    let found: string[][] = [];
    await withFile("crio.conf", conf, async (configPath) => {
      const { notices } = await loadConfiguration({ ...none, configPath });
      found = notices.filter(({ message }) => message.includes("monitor_cgroup"))
        .map(({ level, message }) => [level, message]);
    });
    return found;
  };
  assert.deepEqual(await noticesOf(""), []);
  assert.deepEqual(await noticesOf("system.slice"), []);
  const [[level = "", message = ""] = []] = await noticesOf("pod");
  assert.equal(level, "warning");
  assert.match(message, /monitor_cgroup = "pod" has no effect: .*server's cgroup/);
  for (
    const [cgroup, why] of [["machine.slice", /systemd/], [
      "/monitors",
      /neither pod nor the name of a slice/,
    ]] as const
  ) {
    const [[level = "", message = ""] = []] = await noticesOf(cgroup);
    assert.equal(level, "error");
    assert.match(message, why);
  }
});
