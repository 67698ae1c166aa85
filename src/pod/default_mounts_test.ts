import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { parseDefaultMounts } from "./default_mounts.ts";

Deno.test("mounts.conf has a source and a destination a line, or one path for both", () => {
  const text = "# comment\n/usr/share/rhel/secrets:/run/secrets\n\n  /etc/pki\nnothing\n";
  assert.deepEqual(parseDefaultMounts(text, "f"), [
    { source: "/usr/share/rhel/secrets", destination: "/run/secrets" },
    { source: "/etc/pki", destination: "/etc/pki" },
  ]);
});

Deno.test("a line of mounts.conf that is no mount is an error", () => {
  for (const line of ["/a:b", "/a:/b:ro", "/a:/", "/a:", "/", "/a:/b\0"]) {
    assert.throws(() => parseDefaultMounts(line, "f"), InvalidArgumentError, JSON.stringify(line));
  }
});
