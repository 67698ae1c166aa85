import { type Command, OUTPUT_OPTION } from "../command.ts";
import { json } from "../json_output.ts";
import { columns, outputFormat } from "../table.ts";

/** `sauropod version`: of this program, without asking the server. */
export const version: Command = {
  name: "version",
  usage: "[OPTIONS]",
  summary: "print the version",
  options: {
    ...OUTPUT_OPTION,
    json: { type: "boolean", short: "j", summary: "the same as -o json" },
  },
  positionals: [0, 0],
  run(invocation, { terminal, version }) {
    const facts = {
      version,
      criApi: "runtime.v1",
      platform: `${Deno.build.os}/${Deno.build.arch}`,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
    };
    if (invocation.flag("json") || outputFormat(invocation) === "json") terminal.out(json(facts));
    else {
      const rows = Object.entries(facts).map(([name, value]) => [`${name}:`, value]);
      terminal.out(`${columns(rows).join("\n")}\n`);
    }
    return Promise.resolve(0);
  },
};
