/** Help texts, made from the table of commands. @module */
import { type Command, optionsOf, type OptionTable } from "./command.ts";
import { columns } from "./table.ts";

export function generalHelp(commands: readonly Command[]): string {
  return [
    "sauropod: Kubernetes pods on this node, by the Container Runtime Interface",
    "",
    "Usage: sauropod [COMMAND] [OPTIONS]",
    "",
    "Commands:",
    ...columns(
      commands.filter(({ hidden }) => hidden !== true)
        .map(({ name, summary }) => [`  ${name}`, summary]),
    ),
    "",
    "Without a command the server is started. sauropod COMMAND --help tells more.",
    "",
  ].join("\n");
}

/** An option as it is typed: `-o, --output FORMAT`. */
export function optionText(
  long: string,
  { short, value }: OptionTable[string],
  noShort = "",
): string {
  return `${short === undefined ? noShort : `-${short}, `}--${long}${
    value === undefined ? "" : ` ${value}`
  }`;
}

/** Those that help and reference show. */
export function shownOptions(command: Command): [long: string, option: OptionTable[string]][] {
  return Object.entries(optionsOf(command)).filter(([, option]) => option.hidden !== true);
}

export function sentence(summary: string): string {
  return `${summary[0]?.toUpperCase()}${summary.slice(1)}.`;
}

export function commandHelp(command: Command): string {
  const { name, aliases = [], usage, summary, description, verbs = [] } = command;
  const rows = shownOptions(command)
    .map(([long, option]) => [`  ${optionText(long, option, "    ")}`, option.summary]);
  return [
    `Usage: sauropod ${name} ${usage}`.trimEnd(),
    "",
    sentence(summary),
    ...(description === undefined ? [] : ["", description]),
    ...(aliases.length === 0 ? [] : ["", `Other names: ${aliases.join(", ")}`]),
    ...(verbs.length === 0 ? [] : [
      "",
      "Verbs:",
      ...columns(
        verbs.map(({ name, aliases = [], summary }) => [
          `  ${[name, ...aliases].join(", ")}`,
          summary,
        ]),
      ),
    ]),
    "",
    "Options:",
    ...columns(rows),
    "",
  ].join("\n");
}
