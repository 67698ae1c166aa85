/**
 * Chooses the command, runs it, and turns what it throws into a message and an exit status.
 *
 * @module
 */
import { errorMessage, InvalidArgumentError, SauropodError } from "../errors/mod.ts";
import { parseInvocation } from "./arguments.ts";
import type { Command, CommandContext, Interruption, Invocation, Serve } from "./command.ts";
import { check } from "./commands/check.ts";
import { completion, names } from "./commands/completion.ts";
import { config } from "./commands/config.ts";
import { exec } from "./commands/exec.ts";
import { images } from "./commands/images.ts";
import { inspect } from "./commands/inspect.ts";
import { load } from "./commands/load.ts";
import { logs } from "./commands/logs.ts";
import { play } from "./commands/play.ts";
import { pods } from "./commands/pods.ts";
import { man, markdown } from "./commands/reference.ts";
import { ps } from "./commands/ps.ts";
import { pull } from "./commands/pull.ts";
import { rm } from "./commands/rm.ts";
import { rmi } from "./commands/rmi.ts";
import { run } from "./commands/run.ts";
import { serve } from "./commands/serve.ts";
import { status } from "./commands/status.ts";
import { stop } from "./commands/stop.ts";
import { version } from "./commands/version.ts";
import { wipe } from "./commands/wipe.ts";
import { connectTo } from "./client.ts";
import { socketOf, timeoutOf } from "./endpoint.ts";
import { tellError } from "./failure.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { nearest } from "../errors/nearest.ts";
import { colourChoice, coloured, plain } from "./style.ts";
import type { Terminal } from "./terminal.ts";

export const COMMANDS: readonly Command[] = [
  serve,
  status,
  check,
  config,
  version,
  pull,
  load,
  images,
  rmi,
  play,
  run,
  pods,
  ps,
  logs,
  exec,
  inspect,
  stop,
  rm,
  completion,
  man,
  markdown,
  wipe,
  names,
];

export interface CommandLine {
  /** Without the program's own name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly version: string;
  readonly serve: Serve;
}

/** Exit status of a command line that cannot be understood, as of most programs. */
const USAGE_STATUS = 2;

/** Never throws. @returns the exit status */
export async function runCommandLine(line: CommandLine): Promise<number> {
  const { args, terminal } = line;
  try {
    return await dispatch(args, line);
  } catch (error) {
    tellError(terminal, error);
    return error instanceof SauropodError && error.message.startsWith("Cannot run sauropod ")
      ? USAGE_STATUS
      : 1;
  }
}

async function dispatch(args: readonly string[], line: CommandLine): Promise<number> {
  const { terminal } = line;
  const [first = ""] = args;
  if (["--help", "-h", "help"].includes(first) && args.length === 1) {
    terminal.out(generalHelp(COMMANDS));
    return 0;
  }
  const [name, rest] = first === "" || (first.startsWith("-") && first !== "--version")
    ? ["serve", args]
    : [first.replace(/^--version$/, "version"), args.slice(1)];
  const command = commandNamed(name) ?? (name === "help" ? commandNamed(rest[0] ?? "") : undefined);
  if (command === undefined) {
    const meant = name === "help" ? rest[0] ?? "" : name;
    const near = nearest(meant, COMMANDS.map((candidate) => candidate.name));
    tellError(
      terminal,
      new InvalidArgumentError(
        `There is no command ${JSON.stringify(meant)}; see sauropod --help`,
        near === undefined ? {} : { remedy: `perhaps ${near} is meant` },
      ),
    );
    return USAGE_STATUS;
  }
  if (name === "help" || asksForHelp(command, rest)) {
    terminal.out(commandHelp(command));
    return 0;
  }
  const invocation = invocationOf(command, rest);
  return await command.run(invocation, contextOf(line, invocation));
}

function commandNamed(name: string): Command | undefined {
  return COMMANDS.find((candidate) =>
    candidate.name === name || candidate.aliases?.includes(name) === true
  );
}

/** @throws {InvalidArgumentError} the arguments fit no call of the command */
function invocationOf(command: Command, args: readonly string[]): Invocation {
  try {
    return parseInvocation(command, args);
  } catch (error) {
    // Without a command's name in front it was read as `serve`.
    const later = args.find((arg) => COMMANDS.some(({ name }) => name === arg));
    if (command !== serve || later === undefined) throw error;
    throw new InvalidArgumentError(`${errorMessage(error)}`, {
      remedy: `options come after the command: sauropod ${later} ${args[0]} ...`,
      cause: error,
    });
  }
}

/** Only before what belongs to a program in a container. */
function asksForHelp({ passesOnAfter }: Command, args: readonly string[]): boolean {
  const own = passesOnAfter === undefined
    ? args
    : args.slice(0, args.findIndex((arg) => !arg.startsWith("-")) + 1 || args.length);
  return own.includes("--help") || own.includes("-h");
}

function contextOf(
  { terminal, env, version, serve }: CommandLine,
  invocation: Invocation,
): CommandContext {
  const choice = colourChoice(invocation.text("color"));
  const paint = choice === "always" ? coloured : plain;
  return {
    terminal: choice === "auto"
      ? terminal
      : Object.create(terminal, { paint: { value: { out: paint, error: paint } } }),
    env,
    commands: COMMANDS,
    version,
    serve,
    async connect(invocation) {
      return connectTo({
        socket: await socketOf(invocation, env),
        timeoutMs: timeoutOf(invocation),
      });
    },
    interruption,
  };
}

function interruption(): Interruption {
  const controller = new AbortController();
  const onSignal = () => {
    // Asked twice: whoever sits there does not want to wait for the tidying up.
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose](): void {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  };
}
