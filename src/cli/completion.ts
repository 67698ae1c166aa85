/**
 * Completion scripts for bash, zsh and fish, made from the table of commands. Names of pods,
 * containers and images are asked of the server while completing.
 *
 * @module
 */
import type { ArgumentKind, Command, OptionSpec } from "./command.ts";
import { shownOptions } from "./help.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

/** The hidden command that prints names, one a line: `sauropod __names pod`. */
export const NAMES_COMMAND = "__names";

export function completionScript(shell: Shell, commands: readonly Command[]): string {
  const visible = commands.filter(({ hidden }) => hidden !== true);
  switch (shell) {
    case "bash":
      return bashScript(visible);
    case "zsh":
      return zshScript(visible);
    case "fish":
      return fishScript(visible);
    default:
      return shell satisfies never;
  }
}

/** Values of an option are files unless they are something else. */
function isFile({ value = "" }: OptionSpec): boolean {
  return /^(FILE|DIR|PATH|DIRECTORY)$/.test(value);
}

function words(command: Command): string[] {
  return [
    ...(command.verbs ?? []).map(({ name }) => name),
    ...(command.arguments === "shell" ? SHELLS : []),
  ];
}

function isName(kind: ArgumentKind | undefined): kind is "pod" | "container" | "image" {
  return kind === "pod" || kind === "container" || kind === "image";
}

function bashScript(commands: readonly Command[]): string {
  const all = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  const cases = commands.flatMap((command) => {
    const options = shownOptions(command);
    const valued = options.filter(([, { type }]) => type === "string");
    const patterns = (long: string, { short }: OptionSpec) =>
      short === undefined ? `--${long}` : `-${short}|--${long}`;
    return [
      `    ${[command.name, ...command.aliases ?? []].join("|")})`,
      `      case $before in`,
      ...valued.map(([long, option]) =>
        `        ${patterns(long, option)}) ${
          option.choices !== undefined
            ? `_sauropod_words "${option.choices.join(" ")}"`
            : isFile(option)
            ? "_sauropod_files"
            : ":"
        }; return ;;`
      ),
      `      esac`,
      `      options="${options.map(([long]) => `--${long}`).join(" ")}"`,
      `      words="${
        [...words(command), ...(command.arguments === "command" ? all : [])].join(" ")
      }"`,
      `      kind=${command.arguments ?? ""}`,
      `      ;;`,
    ];
  });
  return `# bash completion for sauropod: source it, or put it into /etc/bash_completion.d/.

# Nothing here gives a name to the shell to expand: names come from images and requests.
_sauropod_add() {
  if [[ $1 == "$current"* ]]; then COMPREPLY+=("\${1#"$colons"}"); fi
}

_sauropod_words() {
  local word
  for word in $1; do _sauropod_add "$word"; done
}

_sauropod_files() {
  local file
  compopt -o filenames 2>/dev/null
  while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$current")
}

_sauropod_names() {
  local name
  while IFS= read -r name; do _sauropod_add "$name"; done < <(sauropod ${NAMES_COMMAND} "$1" 2>/dev/null)
}

_sauropod() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} colons=
  local at=$COMP_CWORD index command= options= words= kind=
  COMPREPLY=()
  # The shell takes --option=value and name:tag apart.
  if [[ $current == = ]]; then current=; before=\${COMP_WORDS[COMP_CWORD-1]}
  elif [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  while (( at > 1 )) && [[ \${COMP_WORDS[at]} == : || \${COMP_WORDS[at-1]} == : ]]; do
    current=\${COMP_WORDS[at-1]}$current
    at=$(( at - 1 ))
  done
  if (( at < COMP_CWORD )); then colons=\${current%"\${current##*:}"}; before=\${COMP_WORDS[at-1]}; fi
  for (( index = 1; index < at; index++ )); do
    if [[ \${COMP_WORDS[index]} != -* ]]; then command=\${COMP_WORDS[index]}; break; fi
  done
  case $command in
    "")
      words="${all.join(" ")} help"
      options="--help --version"
      ;;
    help)
      words="${all.join(" ")}"
      ;;
${cases.join("\n")}
    *) return ;;
  esac
  if [[ $current == -* ]]; then _sauropod_words "$options"; return; fi
  _sauropod_words "$words"
  case $kind in
    file) _sauropod_files ;;
    pod|container|image) _sauropod_names "$kind" ;;
  esac
}

complete -F _sauropod sauropod
`;
}

function zshScript(commands: readonly Command[]): string {
  const described = (name: string, summary: string) =>
    zshQuoted(`${name.replaceAll(":", "\\:")}:${summary}`);
  const all = commands.flatMap(({ name, aliases = [], summary }) =>
    [name, ...aliases].map((one) => described(one, summary))
  );
  const cases = commands.flatMap((command) => [
    `        ${[command.name, ...command.aliases ?? []].join("|")})`,
    `          _arguments -s \\`,
    ...shownOptions(command).map(([long, option]) => `            ${zshOption(long, option)} \\`),
    `            ${zshArguments(command)}`,
    `          ;;`,
  ]);
  return `#compdef sauropod
# zsh completion for sauropod: source it after compinit, or put it as _sauropod into a folder of $fpath.

_sauropod_names() {
  local -a names
  names=(\${(f)"$(sauropod ${NAMES_COMMAND} $1 2>/dev/null)"})
  compadd -a names
}

_sauropod_commands() {
  local -a commands
  commands=(
${all.map((text) => `    ${text}`).join("\n")}
  )
  _describe command commands
}

_sauropod() {
  local context state line
  typeset -A opt_args
  _arguments -C '(- *)'{-h,--help}'[show the help]' '(- *)--version[show the version]' \\
    '1: :_sauropod_commands' '*:: :->rest'
  case $state in
    rest)
      case $words[1] in
${cases.join("\n")}
        help) _sauropod_commands ;;
      esac
      ;;
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _sauropod "$@"; else compdef _sauropod sauropod; fi
`;
}

function zshOption(long: string, option: OptionSpec): string {
  const { short, type, choices, multiple, value = "value" } = option;
  const summary = option.summary.replaceAll(/[[\]\\:]/g, (character) => `\\${character}`);
  const action = type === "boolean"
    ? ""
    : choices !== undefined
    ? `:${value}:(${choices.join(" ")})`
    : `:${value.replaceAll(/[^A-Za-z]+/g, " ").trim()}:${isFile(option) ? "_files" : " "}`;
  const repeat = multiple === true ? "*" : "";
  const equals = type === "boolean" ? "" : "=";
  const names = short === undefined ? [`--${long}${equals}`] : [`-${short}`, `--${long}${equals}`];
  return names.map((name) => zshQuoted(`${repeat}${name}[${summary}]${action}`)).join(" ");
}

function zshArguments(command: Command): string {
  const fixed = words(command);
  if (fixed.length > 0) {
    return `${zshQuoted(`1: :(${fixed.join(" ")})`)} ${zshQuoted("*:file:_files")}`;
  }
  const kind = command.arguments;
  if (isName(kind)) return zshQuoted(`*:${kind}: _sauropod_names ${kind}`);
  if (kind === "file") return zshQuoted("*:file:_files");
  return kind === "command" ? zshQuoted("1: :_sauropod_commands") : zshQuoted("*: : ");
}

/** In single quotes nothing has a meaning but the quote. */
function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishScript(commands: readonly Command[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const all = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  const lines = commands.flatMap((command) => {
    const names = [command.name, ...command.aliases ?? []];
    const condition = `-n ${quoted(`__fish_seen_subcommand_from ${names.join(" ")}`)}`;
    const kind = command.arguments;
    return [
      ...names.map((name) =>
        `complete -c sauropod -n __fish_use_subcommand -a ${name} -d ${quoted(command.summary)}`
      ),
      ...shownOptions(command).map(([long, option]) =>
        `complete -c sauropod ${condition} -l ${long}` +
        (option.short === undefined ? "" : ` -s ${option.short}`) +
        (option.type === "boolean"
          ? ""
          : option.choices !== undefined
          ? ` -x -a ${quoted(option.choices.join(" "))}`
          : isFile(option)
          ? " -r -F"
          : " -x") +
        ` -d ${quoted(option.summary)}`
      ),
      ...(command.verbs ?? []).map(({ name, summary }) =>
        `complete -c sauropod ${condition} -a ${name} -d ${quoted(summary)}`
      ),
      ...(kind === "shell"
        ? [`complete -c sauropod ${condition} -a ${quoted(SHELLS.join(" "))}`]
        : kind === "command"
        ? [`complete -c sauropod ${condition} -a ${quoted(all.join(" "))}`]
        : isName(kind)
        ? [
          `complete -c sauropod ${condition} -a ${
            quoted(`(sauropod ${NAMES_COMMAND} ${kind} 2>/dev/null)`)
          }`,
        ]
        : kind === "file"
        ? [`complete -c sauropod ${condition} -F`]
        : []),
    ];
  });
  return `# fish completion for sauropod: put it into ~/.config/fish/completions/sauropod.fish.
complete -c sauropod -f
${lines.join("\n")}
`;
}
