import assert from "node:assert/strict";
import type { JsonObject } from "../model/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { BackgroundMirror } from "./record_mirror.ts";

function mirrorTo(write: (value: JsonObject) => Promise<void>) {
  const copies = { write: ({ value }: { readonly value: JsonObject }) => write(value) };
  return new BackgroundMirror({
    copies: { sandbox: copies, container: copies },
    resourcesOf: () => Promise.resolve([]),
    log: silentLogger,
  });
}

Deno.test("BackgroundMirror writes the newest value, whichever moment it comes at", async () => {
  // Each round lets the second value come some turns later after the first has been written.
  for (let turns = 0; turns < 12; turns++) {
    const written: unknown[] = [];
    const first = Promise.withResolvers<void>();
    const mirror = mirrorTo((value) => {
      written.push(value["at"]);
      first.resolve();
      return Promise.resolve();
    });
    mirror.write("container", "c", { at: 1 });
    await first.promise;
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    mirror.write("container", "c", { at: 2 });
    await mirror.flush();
    assert.deepEqual(written, [1, 2], `after ${turns} turns`);
  }
});

Deno.test("BackgroundMirror writes nothing more once a record is forgotten", async () => {
  const written: JsonObject[] = [];
  const mirror = mirrorTo((value) => Promise.resolve(void written.push(value)));
  mirror.write("sandbox", "s", { at: 1 });
  await mirror.forget("sandbox", "s");
  await mirror.flush();
  assert.deepEqual(written, []);
});
