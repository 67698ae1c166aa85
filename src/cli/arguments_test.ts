import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { parseInvocation } from "./arguments.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./command_line.ts";
import { commandHelp } from "./help.ts";

const command = (name: string): Command => COMMANDS.find((one) => one.name === name)!;

Deno.test("parseInvocation() leaves what belongs to the program in the container alone", () => {
  const exec = parseInvocation(command("exec"), ["-r", "/s", "web", "ls", "-l", "--", "--help"]);
  assert.deepEqual(exec.positionals, ["web"]);
  assert.deepEqual(exec.rest, ["ls", "-l", "--", "--help"]);
  assert.equal(exec.text("socket"), "/s");
  const run = parseInvocation(command("run"), [
    "--rm",
    "-e",
    "A=1",
    "-e",
    "B=2",
    "img",
    "--",
    "-x",
  ]);
  assert.deepEqual(run.rest, ["-x"]);
  assert.deepEqual(run.texts("env"), ["A=1", "B=2"]);
  assert.equal(run.flag("rm"), true);
});

Deno.test("parseInvocation() takes flags with a value, as CRI-O's command line does", () => {
  const serve = parseInvocation(command("serve"), ["--no-pivot=true", "--enable-nri=false"]);
  assert.equal(serve.flag("no-pivot"), true);
  assert.equal(serve.text("enable-nri"), "false");
});

Deno.test("parseInvocation() refuses unknown options, missing values and wrong counts", () => {
  for (
    const [name, args] of [
      ["serve", ["--nonsense"]],
      ["serve", ["extra"]],
      ["logs", []],
      ["logs", ["a", "b"]],
      ["pods", ["-o"]],
    ] as const
  ) {
    assert.throws(() => parseInvocation(command(name), args), InvalidArgumentError, name);
  }
});

Deno.test("every command has a help text and options without clashes", () => {
  for (const one of COMMANDS) {
    assert.match(commandHelp(one), new RegExp(`^Usage: sauropod ${one.name}`));
    const short = Object.values(one.options).flatMap((option) => option.short ?? []);
    assert.deepEqual(short, [...new Set(short)], one.name);
    assert.ok(!short.includes("h"), one.name);
  }
});
