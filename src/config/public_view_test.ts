import assert from "node:assert/strict";
import { builtInHandler, defaultConfiguration } from "./configuration.ts";
import { publicView } from "./public_view.ts";

Deno.test("publicView() shows names of environment variables and none of their values", () => {
  const preset = defaultConfiguration("sauropod");
  const shown = publicView({
    ...preset,
    runtime: {
      ...preset.runtime,
      default_env: ["HTTP_PROXY=http://user:secret@proxy", "PLAIN"],
      conmon_env: ["A=secret=b"],
      runtimes: { runc: { ...builtInHandler("runc"), monitor_env: ["B=secret"] } },
    },
  });
  const text = JSON.stringify(shown);
  assert.ok(!text.includes("secret"));
  assert.match(text, /"HTTP_PROXY=\(hidden\)","PLAIN"/);
  assert.deepEqual(shown["base"], { ...preset.base });
});
