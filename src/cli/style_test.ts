import assert from "node:assert/strict";
import { colourChoice, coloured, paintFor, plain } from "./style.ts";

Deno.test("colours come on terminals, without NO_COLOR, or when asked for", () => {
  const on = (choice: "auto" | "always" | "never", isTerminal: boolean, env = {}) =>
    paintFor(choice, { isTerminal, env }) === coloured;
  assert.equal(on("auto", true), true);
  assert.equal(on("auto", false), false);
  assert.equal(on("auto", true, { NO_COLOR: "1" }), false);
  assert.equal(on("auto", true, { NO_COLOR: "" }), true);
  assert.equal(on("auto", true, { TERM: "dumb" }), false);
  assert.equal(on("always", false, { NO_COLOR: "1" }), true);
  assert.equal(on("never", true), false);
  assert.throws(() => colourChoice("blue"), /--color "blue" is not known/);
});

Deno.test("a painted text ends its colour", () => {
  assert.equal(coloured("red", "x"), "\x1b[31mx\x1b[0m");
  assert.equal(coloured(undefined, "x"), "x");
  assert.equal(plain("red", "x"), "x");
});
