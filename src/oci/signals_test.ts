import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { Signal } from "../proto/mod.ts";
import { parseSignal, stopSignalOf } from "./signals.ts";

Deno.test("signals have names with and without SIG, numbers and real-time forms", () => {
  for (
    const [text, number] of [
      ["SIGTERM", 15],
      ["term", 15],
      ["15", 15],
      ["SigInt", 2],
      ["SIGRTMIN", 34],
      ["SIGRTMIN+3", 37],
      ["RTMAX-1", 63],
      ["SIGRTMAX", 64],
      ["64", 64],
    ] as const
  ) assert.equal(parseSignal(text), number, text);
});

for (
  const text of [
    "",
    "0",
    "65",
    "-1",
    "1.5",
    "0x9",
    "15 ",
    "SIG",
    "SIG15",
    "RTMIN+31",
    "RTMAX-31",
    "FOO",
    "constructor",
    "15\n",
  ]
) {
  Deno.test(`the signal ${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => parseSignal(text), InvalidArgumentError);
  });
}

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
