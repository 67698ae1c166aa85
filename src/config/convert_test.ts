import assert from "node:assert/strict";
import { type Configuration, defaultConfiguration } from "./configuration.ts";
import { convertConfiguration } from "./convert.ts";
import { loadConfiguration, type LoadedConfiguration } from "./load.ts";
import { allKeys, valueAt } from "./merged.ts";
import type { NodeFacts } from "./node_facts.ts";
import { printConfiguration } from "./print.ts";

const NODE: NodeFacts = {
  findExecutable: (name) => Promise.resolve(`/usr/bin/${name}`),
  isExecutable: () => Promise.resolve(true),
  list: () => Promise.resolve([]),
  hasSystemd: () => Promise.resolve(false),
};

/** The configuration by a crio.conf and by what became of it. */
async function bothWays(
  files: Readonly<Record<string, string>>,
): Promise<{
  before: Configuration;
  after: Configuration;
  text: string;
  remarks: string[];
  errors: string[];
}> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${directory}/crio.conf.d`);
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${directory}/${name}`, text);
    }
    const configPath = `${directory}/crio.conf`;
    const { text, remarks } = await convertConfiguration({ configPath });
    await Deno.writeTextFile(`${directory}/sauropod.toml`, text);
    const before = await loadConfiguration({ configPath, node: NODE });
    const after = await loadConfiguration({ configPath: `${directory}/sauropod.toml`, node: NODE });
    assert.equal(after.flavour, "sauropod");
    const errorsOf = (loaded: LoadedConfiguration) =>
      loaded.notices.filter(({ level }) => level === "error").map(({ key }) => key);
    assert.deepEqual(errorsOf(after), errorsOf(before));
    return {
      before: before.configuration,
      after: after.configuration,
      text,
      remarks: remarks.map(({ kind, key }) => `${kind} ${key}`),
      errors: errorsOf(after),
    };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function assertSame(before: Configuration, after: Configuration): void {
  for (const { path, key } of allKeys()) {
    if (key.standing === "noEffect") continue;
    assert.deepEqual(valueAt(after, path), valueAt(before, path), path);
  }
  assert.deepEqual(after.runtime.runtimes, before.runtime.runtimes);
  assert.deepEqual(after.runtime.workloads, before.runtime.workloads);
}

Deno.test("a crio.conf that says nothing keeps CRI-O's directories and socket", async () => {
  const { before, after, remarks } = await bothWays({ "crio.conf": "[crio]\n" });
  assertSame(before, after);
  assert.equal(after.base.root, "/var/lib/containers/storage");
  assert.equal(after.api.listen, "/var/run/crio/crio.sock");
  assert.deepEqual(remarks, []);
});

Deno.test("CRI-O's documented file, with every value live, means the same when converted", async () => {
  const documented = printConfiguration(defaultConfiguration("crio"), { flavour: "crio" })
    .replaceAll(/^# ([a-z_]+ = |\[crio)/gm, "$1");
  const { before, after } = await bothWays({ "crio.conf": documented });
  assertSame(before, after);
});

Deno.test("drop-ins, handlers and durations are kept, and what cannot be is named", async () => {
  const { before, after, text, remarks, errors } = await bothWays({
    "crio.conf": `
[crio]
log_dir = "/var/log/x"
internal_wipe = false
[crio.runtime]
default_runtime = "runc"
pids_limit = 512
unknown_key = 1
default_sysctls = ["net.ipv4.ip_unprivileged_port_start=0"]
[crio.runtime.runtimes.runc]
runtime_path = "/usr/bin/runc"
runtime_root = "/run/special"
`,
    "crio.conf.d/10-more.conf": `
[crio.network]
network_dir = "/etc/cni/other"
[crio.runtime]
selinux = true
[crio.api]
stream_port = "10010"
`,
  });
  assertSame(before, after);
  assert.equal(after.base.log_dir, "/var/log/x");
  assert.equal(after.network.network_dir, "/etc/cni/other");
  assert.equal(after.runtime.runtimes.runc?.runtime_root, "/run/special");
  assert.ok(remarks.includes("unknown runtime.unknown_key"), remarks.join());
  assert.ok(remarks.includes("left out internal_wipe"), remarks.join());
  assert.ok(remarks.includes("stops the start runtime.selinux"), remarks.join());
  // What would stop the start is for a person to decide.
  assert.deepEqual(errors, ["runtime.selinux"]);
  assert.match(text, /^# internal_wipe = true$/m);
});

Deno.test("a file of our own is not converted", async () => {
  const path = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(path, "[sauropod]\n");
    await assert.rejects(convertConfiguration({ configPath: path }), /it is no crio\.conf/);
    await assert.rejects(convertConfiguration({ configPath: "/nonexistent" }), /no such file/);
  } finally {
    await Deno.remove(path);
  }
});
