import { type Command, OUTPUT_OPTION } from "../command.ts";
import { columns, outputFormat, printStructured } from "../table.ts";

/** `sauropod version`: of this program, without asking the server. */
export const version: Command = {
  name: "version",
  usage: "[OPTIONS]",
  summary: "print the version",
  options: {
    ...OUTPUT_OPTION,
    json: { type: "boolean", short: "j", summary: "the same as -o json" },
    verbose: { type: "boolean", short: "v", summary: "what it was built with, too" },
  },
  positionals: [0, 0],
  run(invocation, { terminal, version }) {
    const facts = {
      version,
      criApi: "runtime.v1",
      platform: `${Deno.build.os}/${Deno.build.arch}`,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      ...(invocation.flag("verbose")
        ? { typescript: Deno.version.typescript, target: Deno.build.target }
        : {}),
    };
    const format = invocation.flag("json") ? "json" : outputFormat(invocation);
    if (!printStructured(terminal, format, facts)) {
      const rows = Object.entries(facts).map(([name, value]) => [`${name}:`, value]);
      terminal.out(`${columns(rows).join("\n")}\n`);
    }
    return Promise.resolve(0);
  },
};
