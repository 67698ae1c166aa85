/** What `packaging/` offers to administrators is what this program accepts. @module */
import assert from "node:assert/strict";
import { loadConfiguration, localNode } from "../src/config/mod.ts";
import { parseCniList } from "../src/network/cni_list.ts";

const packaging = new URL("../packaging/", import.meta.url).pathname;

Deno.test("the example configuration is known key by key", async () => {
  const loaded = await loadConfiguration({
    configPath: `${packaging}sauropod.toml`,
    configDir: "",
    node: {
      ...localNode(undefined),
      isExecutable: () => Promise.resolve(true),
      hasSystemd: () => Promise.resolve(true),
      list: () => Promise.resolve([]),
    },
  });
  const told = loaded.notices.filter(({ key }) => key !== "runtime.cgroup_manager");
  assert.deepEqual(told, []);
  assert.equal(loaded.configuration.runtime.default_runtime, "runc");
});

Deno.test("the example network has host ports and both families", async () => {
  const list = parseCniList(
    JSON.parse(await Deno.readTextFile(`${packaging}10-sauropod.conflist`)),
  );
  assert.deepEqual(list.plugins.map(({ type }) => type), ["bridge", "portmap"]);
  assert.deepEqual([...list.plugins[1]?.capabilities ?? []], ["portMappings"]);
});

Deno.test("the unit leaves containers alone and has no mount namespace of its own", async () => {
  const unit = await Deno.readTextFile(`${packaging}sauropod.service`);
  const settings = unit.split("\n").filter((line) => /^[A-Z]\w*=/.test(line));
  for (const setting of ["Type=notify", "KillMode=process", "Delegate=yes", "OOMPolicy=continue"]) {
    assert.ok(settings.includes(setting), setting);
  }
  const isolating = /^(Private|Protect|Mount|RootDirectory|Bind|ReadOnly|ReadWrite|Inaccessible)/;
  assert.deepEqual(settings.filter((setting) => isolating.test(setting)), []);
});
