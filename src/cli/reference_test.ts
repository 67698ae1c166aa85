import assert from "node:assert/strict";
import { COMMANDS } from "./command_line.ts";
import { manualPage, markdownReference } from "./reference.ts";

Deno.test("the reference has every command and every option that is shown", () => {
  const markdown = markdownReference(COMMANDS);
  const manual = manualPage(COMMANDS, "1.2.3");
  for (const { name, hidden, options } of COMMANDS) {
    assert.equal(markdown.includes(`\n## ${name}\n`), hidden !== true, name);
    assert.equal(manual.includes(`\n.SS sauropod ${name.replaceAll("-", "\\-")}`), hidden !== true);
    for (const [long, option] of Object.entries(options)) {
      if (option.hidden === true || option.configures === true || hidden === true) continue;
      assert.ok(markdown.includes(`--${long}`), long);
      assert.ok(manual.includes(`\\-\\-${long.replaceAll("-", "\\-")}`), long);
    }
  }
});

Deno.test("docs/commands.md is what sauropod markdown prints", async () => {
  const path = new URL("../../docs/commands.md", import.meta.url);
  assert.equal(await Deno.readTextFile(path), markdownReference(COMMANDS));
});

Deno.test("the manual page has no line that roff would take for an instruction", () => {
  const known = /^\.(TH|SH|SS|TP|PP|B)( |$)/;
  for (const line of manualPage(COMMANDS, "1.2.3").split("\n")) {
    if (/^[.']/.test(line)) assert.match(line, known);
  }
});
