import assert from "node:assert/strict";
import { hostPortPrograms } from "./host_port_programs.ts";

const mapped = { disable_hostport_mapping: false };

Deno.test("check names each program of host ports that is missing, what does not work then, and its package", () => {
  assert.deepEqual(
    hostPortPrograms(mapped, () => undefined).map(({ state, message, remedy }) => [
      state,
      /^there is no (\w+): (pods with host ports are refused|packets of UDP clients)/.exec(message)
        ?.slice(1),
      remedy,
    ]),
    [
      ["warning", ["nft", "pods with host ports are refused"], "apt-get install nftables"],
      ["warning", ["conntrack", "packets of UDP clients"], "apt-get install conntrack"],
    ],
  );
});

Deno.test("check is content with both programs, or where host ports are left unmapped", () => {
  const findings = [
    ...hostPortPrograms(mapped, (name) => `/usr/sbin/${name}`),
    ...hostPortPrograms({ disable_hostport_mapping: true }, () => undefined),
  ];
  assert.deepEqual(findings.map(({ state }) => state), ["ok", "ok"]);
});
