/** Help texts, made from the table of commands. @module */
import type { Command } from "./command.ts";
import { columns } from "./table.ts";

export function generalHelp(commands: readonly Command[]): string {
  return [
    "sauropod: Kubernetes pods on this node, by the Container Runtime Interface",
    "",
    "Usage: sauropod [COMMAND] [OPTIONS]",
    "",
    "Commands:",
    ...columns(commands.map(({ name, summary }) => [`  ${name}`, summary])),
    "",
    "Without a command the server is started. sauropod COMMAND --help tells more.",
    "",
  ].join("\n");
}

export function commandHelp({ name, usage, summary, description, options }: Command): string {
  const rows = Object.entries(options)
    .filter(([, option]) => option.hidden !== true)
    .map(([long, { short, value, summary }]) => [
      `  ${short === undefined ? "   " : `-${short},`} --${long}${
        value === undefined ? "" : ` ${value}`
      }`,
      summary,
    ]);
  return [
    `Usage: sauropod ${name} ${usage}`.trimEnd(),
    "",
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    ...(description === undefined ? [] : ["", description]),
    ...(rows.length === 0 ? [] : ["", "Options:", ...columns(rows)]),
    "",
  ].join("\n");
}
