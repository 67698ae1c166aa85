import { loadConfiguration } from "../../config/mod.ts";
import { NodeProcessRunner } from "../../sys/mod.ts";
import { type Command, OUTPUT_OPTION } from "../command.ts";
import { checkNode } from "../node_check.ts";
import { json } from "../json_output.ts";
import { columns, outputFormat } from "../table.ts";
import { CONFIGURATION_OPTIONS, loadOptionsOf } from "./serve.ts";

/** `sauropod check`: exit status 1 if pods cannot run on this node. */
export const check: Command = {
  name: "check",
  usage: "[OPTIONS]",
  summary: "show what this node lacks for running pods, and how to get it",
  options: { ...CONFIGURATION_OPTIONS, ...OUTPUT_OPTION },
  positionals: [0, 0],
  async run(invocation, { terminal, env }) {
    const findings = await checkNode(await loadConfiguration(loadOptionsOf(invocation, env)), {
      processes: new NodeProcessRunner(),
      searchPath: `${env.PATH ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    });
    const missing = findings.filter(({ state }) => state === "missing").length;
    if (outputFormat(invocation) === "json") {
      terminal.out(json({ ready: missing === 0, findings }));
    } else {
      const rows = findings.map(({ subject, state, message, remedy }) => [
        state,
        subject,
        remedy === undefined ? message : `${message}; ${remedy}`,
      ]);
      terminal.out(`${columns(rows).join("\n")}\n`);
      terminal.out(
        missing === 0 ? "This node can run pods.\n" : `${missing} essential things are missing.\n`,
      );
    }
    return missing === 0 ? 0 : 1;
  },
};
