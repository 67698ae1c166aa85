/**
 * What a command of the command line is, and what it is given.
 *
 * @module
 */
import type { LoadedConfiguration } from "../config/mod.ts";
import type { CriClient } from "./client.ts";
import type { Terminal } from "./terminal.ts";

export interface OptionSpec {
  readonly type: "boolean" | "string";
  /** One letter. */
  readonly short?: string;
  readonly multiple?: boolean;
  /** Placeholder of the value in the help text. */
  readonly value?: string;
  /** The words that the value may be, for completion. */
  readonly choices?: readonly string[];
  readonly summary: string;
  /** Left out of the help text. */
  readonly hidden?: boolean;
  /** Sets a key of the configuration: the reference leaves it to the file and to the help text. */
  readonly configures?: boolean;
}

export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** The options and arguments that a command was called with. */
export interface Invocation {
  flag(name: string): boolean;
  /** The last value given. */
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  readonly positionals: readonly string[];
  /** What follows the last positional of a command that passes the rest on, untouched. */
  readonly rest: readonly string[];
}

/** What an argument names, for completion. */
export type ArgumentKind = "file" | "pod" | "container" | "image" | "command" | "shell";

/** A word that a command may begin its arguments with: `config check`. */
export interface Verb {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
}

export interface Command {
  readonly name: string;
  /** Other names, as CRI-O has them. */
  readonly aliases?: readonly string[];
  /** Left out of help and reference. */
  readonly hidden?: boolean;
  readonly verbs?: readonly Verb[];
  readonly arguments?: ArgumentKind;
  /** What follows the name: `[OPTIONS] POD...`. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More, for the command's own help. */
  readonly description?: string;
  readonly options: OptionTable;
  /** Options end after this many positionals: the rest belongs to the program in the container. */
  readonly passesOnAfter?: number;
  /** Least and most positionals. */
  readonly positionals: readonly [least: number, most: number];
  /** @returns the exit status */
  run(invocation: Invocation, context: CommandContext): Promise<number>;
}

/** Everything a command touches outside itself. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Version of this program, such as `1.37.0-dev`. */
  readonly version: string;
  /** All of them, for help and completion. */
  readonly commands: readonly Command[];
  /** Runs the server until it is told to stop. Given by the composition. */
  readonly serve: Serve;
  /** The client of the running server; options and environment say which. */
  connect(invocation: Invocation): Promise<CriClient>;
  /** Fires at Ctrl-C or SIGTERM, for commands that watch it; for others the process just ends. */
  interruption(): Interruption;
}

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

export interface ServeOptions {
  readonly loaded: LoadedConfiguration;
  /** Reads the configuration again, by the same files, variables and flags. */
  readonly reload: () => Promise<LoadedConfiguration>;
  /** `--log`: a file to append to; standard error without it. */
  readonly logFile: string | undefined;
  readonly logFormat: "text" | "json";
  /** `--registries-conf`, `--registries-conf-dir` */
  readonly registriesConf: string | undefined;
  readonly registriesConfDir: string | undefined;
  /** `--fault-gates`: what the tests give, else undefined. */
  readonly faultGates: string | undefined;
}

/** @returns the exit status */
export type Serve = (options: ServeOptions) => Promise<number>;

/** Options of every command that talks to the server. */
export const CLIENT_OPTIONS: OptionTable = {
  socket: {
    type: "string",
    short: "r",
    value: "PATH",
    summary: "socket of the server (SAUROPOD_ENDPOINT, CONTAINER_RUNTIME_ENDPOINT)",
  },
  "runtime-endpoint": { type: "string", summary: "the same", hidden: true },
  timeout: { type: "string", value: "TIME", summary: "how long to wait for an answer: 30s" },
};

export const OUTPUT_OPTION: OptionTable = {
  output: {
    type: "string",
    short: "o",
    value: "FORMAT",
    choices: ["table", "json", "yaml"],
    summary: "table, json or yaml",
  },
};

/** Options of every command. */
export const COMMON_OPTIONS: OptionTable = {
  color: {
    type: "string",
    value: "WHEN",
    choices: ["auto", "always", "never"],
    summary: "auto, always or never; auto looks at the terminal and at NO_COLOR",
  },
  help: { type: "boolean", short: "h", summary: "show this help" },
};

/** Own options first, then those of every command. */
export function optionsOf({ options }: Pick<Command, "options">): OptionTable {
  return { ...options, ...COMMON_OPTIONS };
}
