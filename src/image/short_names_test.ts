import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { parseImageName } from "./reference.ts";
import { NO_REGISTRIES_CONF, parseRegistriesConf } from "./registries_conf.ts";
import { candidates } from "./short_names.ts";

const conf = (text: string) => parseRegistriesConf(text, "/etc/r.conf");

Deno.test("candidates() completes short names by alias, then by the search list", () => {
  const name = parseImageName("app:v1");
  const text = `unqualified-search-registries = ["a.example", "b.example/ns"]`;
  assert.deepEqual(candidates(name, conf(text), "disabled").map(String), [
    "a.example/app:v1",
    "b.example/ns/app:v1",
  ]);
  assert.throws(
    () => candidates(name, conf(text)),
    /a\.example\/app:v1, b\.example\/ns\/app:v1/,
  );
  assert.throws(() => candidates(name, conf(text), "enforcing"), FailedPreconditionError);
  assert.equal(candidates(name, conf(`short-name-mode = "disabled"\n${text}`)).length, 2);
  assert.equal(candidates(name, conf(`short-name-mode = "permissive"\n${text}`)).length, 2);
  assert.deepEqual(
    candidates(name, conf(`${text}\n[aliases]\napp = "c.example/x/app"`)).map(String),
    ["c.example/x/app:v1"],
  );
  assert.throws(() => candidates(name, NO_REGISTRIES_CONF), /in full|neither/);
  assert.deepEqual(candidates(parseImageName("q.io/a"), conf(text)).map(String), ["q.io/a:latest"]);
});
