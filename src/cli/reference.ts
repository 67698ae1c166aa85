/**
 * The reference of all commands, as Markdown and as a manual page: made from the table of commands,
 * as the help texts are.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { optionText, sentence, shownOptions } from "./help.ts";
import type { OptionSpec } from "./command.ts";

const ABOUT =
  "Sauropod is a Kubernetes container runtime: it serves the Container Runtime Interface to a " +
  "kubelet, pulls images, and runs containers under an OCI runtime. Without a command the server is " +
  "started; the other commands look into a running server, or work without one.";

interface Row {
  readonly term: string;
  readonly meaning: string;
}

const ENVIRONMENT: readonly Row[] = [
  { term: "SAUROPOD_ENDPOINT", meaning: "socket of the server, as --socket" },
  { term: "CONTAINER_RUNTIME_ENDPOINT", meaning: "the same, as crictl has it" },
  { term: "CONTAINER_CONFIG", meaning: "configuration file, as --config of serve" },
  { term: "CONTAINER_CONFIG_DIR", meaning: "folder of its drop-ins, as --config-dir" },
  { term: "NO_COLOR", meaning: "any value: no colours" },
];

const FILES: readonly Row[] = [
  { term: "/etc/sauropod/sauropod.toml", meaning: "the configuration" },
  { term: "/etc/sauropod/sauropod.conf.d/", meaning: "its drop-ins, in lexical order" },
  { term: "/run/sauropod/sauropod.sock", meaning: "the socket: CRI over gRPC, HTTP/1.1 beside it" },
];

const EXIT_STATUS: readonly Row[] = [
  { term: "0", meaning: "done" },
  { term: "1", meaning: "not done; standard error says why, and what to do next" },
  { term: "2", meaning: "the command line cannot be understood" },
  { term: "130", meaning: "interrupted; what was made has been taken away" },
  { term: "other", meaning: "of exec, run and play --wait: the exit status of the program" },
];

function visible(commands: readonly Command[]): Command[] {
  return commands.filter(({ hidden }) => hidden !== true);
}

/** Options that set keys of the configuration are told by the configuration file, and by --help. */
function listedOptions(command: Command): [long: string, option: OptionSpec][] {
  return shownOptions(command).filter(([, { configures }]) => configures !== true);
}

/** The description, and where the options are that are not listed. */
function describedFully(command: Command): string {
  const omits = listedOptions(command).length < shownOptions(command).length;
  return [
    sentence(command.summary),
    ...(command.description === undefined ? [] : [command.description]),
    ...(omits
      ? [
        "Keys of the configuration have options of their name, too: --help lists them, and " +
        "sauropod config --default tells what they mean.",
      ]
      : []),
  ].join(" ");
}

/** For `docs/commands.md`. */
export function markdownReference(commands: readonly Command[]): string {
  const table = (rows: readonly Row[]) =>
    rows.map(({ term, meaning }) => `| ${code(term)} | ${cell(meaning)} |`);
  return [
    "# Commands",
    "",
    "<!-- Made from the table of commands: `sauropod markdown >docs/commands.md`. -->",
    "",
    ABOUT,
    "",
    "| command | |",
    "|---|---|",
    ...visible(commands).map(({ name, summary }) => `| [${name}](#${name}) | ${cell(summary)} |`),
    ...visible(commands).flatMap((command) => [
      "",
      `## ${command.name}`,
      "",
      `${code(`sauropod ${command.name} ${command.usage}`.trimEnd())}`,
      "",
      cell(describedFully(command)),
      ...(command.aliases === undefined
        ? []
        : ["", `Other names: ${command.aliases.map(code).join(", ")}.`]),
      ...(command.verbs === undefined ? [] : [
        "",
        "| verb | |",
        "|---|---|",
        ...command.verbs.map(({ name, aliases = [], summary }) =>
          `| ${[name, ...aliases].map(code).join(", ")} | ${cell(summary)} |`
        ),
      ]),
      "",
      "| option | |",
      "|---|---|",
      ...listedOptions(command).map(([long, option]) =>
        `| ${code(optionText(long, option))} | ${cell(option.summary)} |`
      ),
    ]),
    "",
    "## Exit status",
    "",
    "| status | |",
    "|---|---|",
    ...table(EXIT_STATUS),
    "",
    "## Environment",
    "",
    "| variable | |",
    "|---|---|",
    ...table(ENVIRONMENT),
    "",
    "## Files",
    "",
    "| file | |",
    "|---|---|",
    ...table(FILES),
    "",
  ].join("\n");
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

/** For man(1): sauropod(8). */
export function manualPage(commands: readonly Command[], version: string): string {
  const list = (rows: readonly Row[]) =>
    rows.flatMap(({ term, meaning }) => [".TP", `\\fB${roff(term)}\\fR`, line(meaning)]);
  return [
    `.TH SAUROPOD 8 "" "sauropod ${roff(version)}" "System Administration"`,
    ".SH NAME",
    "sauropod \\- Kubernetes container runtime",
    ".SH SYNOPSIS",
    ".B sauropod",
    "[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]",
    ".SH DESCRIPTION",
    line(ABOUT),
    ".SH COMMANDS",
    ...visible(commands).flatMap((command) => [
      `.SS sauropod ${roff(command.name)} ${roff(command.usage)}`.trimEnd(),
      line(describedFully(command)),
      ...(command.aliases === undefined
        ? []
        : [".PP", line(`Other names: ${command.aliases.join(", ")}.`)]),
      ...list(
        (command.verbs ?? []).map(({ name, aliases = [], summary }) => ({
          term: [name, ...aliases].join(", "),
          meaning: summary,
        })),
      ),
      ...list(
        listedOptions(command).map(([long, option]) => ({
          term: optionText(long, option),
          meaning: option.summary,
        })),
      ),
    ]),
    ".SH EXIT STATUS",
    ...list(EXIT_STATUS),
    ".SH ENVIRONMENT",
    ...list(ENVIRONMENT),
    ".SH FILES",
    ...list(FILES),
    "",
  ].join("\n");
}

/** A line of text: one that begins with a dot or a quote would be an instruction. */
function line(text: string): string {
  return roff(text).replace(/^[.']/, "\\&$&");
}

function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
}
