import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { Signal } from "../proto/mod.ts";
import { stopSignalOf } from "./signals.ts";

Deno.test("every signal of the CRI has a number", () => {
  const names = Object.keys(Signal).filter((name) => /^SIGNAL_SIG/.test(name));
  assert.equal(names.length, 65);
  for (const name of names) {
    const number = stopSignalOf(Signal[name as keyof typeof Signal], "");
    assert.ok(number >= 1 && number <= 64, name);
  }
  assert.equal(stopSignalOf(Signal.SIGNAL_SIGRTMINPLUS15, ""), 49);
  assert.equal(stopSignalOf(Signal.SIGNAL_SIGRTMAXMINUS14, ""), 50);
  assert.throws(() => stopSignalOf(999 as Signal, ""), InvalidArgumentError);
});

Deno.test("the request's signal comes before the image's, and an image's nonsense is SIGTERM", () => {
  assert.equal(stopSignalOf(Signal.SIGNAL_SIGHUP, "SIGINT"), 1);
  assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, "SIGINT"), 2);
  assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, ""), 15);
  assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, "SIGNONSENSE"), 15);
});
