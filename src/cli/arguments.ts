/**
 * Reads a command's arguments by its own table of options.
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { errorMessage, InvalidArgumentError } from "../errors/mod.ts";
import { type Command, type Invocation, optionsOf, type OptionTable } from "./command.ts";

/** @throws {InvalidArgumentError} an unknown option, a missing value, too few or too many arguments */
export function parseInvocation(command: Command, args: readonly string[]): Invocation {
  const table = optionsOf(command);
  const options = parserOptions(table);
  const { own, rest } = splitAt(command, options, args);
  const { plain, booleans } = withoutBooleanValues(table, own);
  let parsed;
  try {
    parsed = parseArgs({ args: plain, options, allowPositionals: true, strict: true });
  } catch (error) {
    const [reason = ""] = errorMessage(error).split(". To specify");
    throw usageError(command, reason);
  }
  const [least, most] = command.positionals;
  const { positionals } = parsed;
  if (positionals.length < least || positionals.length > most) {
    throw usageError(
      command,
      positionals.length < least
        ? "an argument is missing"
        : `there are too many arguments: ${positionals.slice(most).join(" ")}`,
    );
  }
  const values: Readonly<Record<string, unknown>> = parsed.values;
  const texts = (name: string): readonly string[] => {
    const value = values[name];
    if (Array.isArray(value)) return value.map(String);
    return typeof value === "string" ? [value] : [];
  };
  return {
    flag: (name) => booleans.get(name) ?? values[name] === true,
    text: (name) => booleans.has(name) ? String(booleans.get(name)) : texts(name).at(-1),
    texts,
    positionals,
    rest,
  };
}

function usageError(command: Command, reason: string): InvalidArgumentError {
  return new InvalidArgumentError(`Cannot run sauropod ${command.name}: ${reason}`, {
    remedy: `see sauropod ${command.name} --help`,
  });
}

type ParserOptions = NonNullable<ParseArgsConfig["options"]>;

function parserOptions(table: OptionTable): ParserOptions {
  const options: ParserOptions = {};
  for (const [name, { type, short, multiple }] of Object.entries(table)) {
    options[name] = {
      type,
      ...(short === undefined ? {} : { short }),
      ...(multiple === undefined ? {} : { multiple }),
    };
  }
  return options;
}

/** Cuts after the positional that ends a command's own options, so that `exec ID ls -l` works. */
function splitAt(
  { passesOnAfter }: Command,
  options: ParserOptions,
  args: readonly string[],
): { own: readonly string[]; rest: readonly string[] } {
  if (passesOnAfter === undefined) return { own: args, rest: [] };
  const { tokens } = parseArgs({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  let left = passesOnAfter;
  for (const token of tokens) {
    if (token.kind !== "positional") continue;
    left -= 1;
    if (left > 0) continue;
    const rest = args.slice(token.index + 1);
    return { own: args.slice(0, token.index + 1), rest: rest[0] === "--" ? rest.slice(1) : rest };
  }
  return { own: args, rest: [] };
}

/** Takes `--flag=false` and `--flag=true` out, as CRI-O's command line allows them. */
function withoutBooleanValues(
  table: OptionTable,
  args: readonly string[],
): { plain: string[]; booleans: ReadonlyMap<string, boolean> } {
  const booleans = new Map<string, boolean>();
  const plain = args.filter((arg) => {
    const match = /^--([a-z0-9-]+)=(true|false)$/.exec(arg);
    const name = match?.[1] ?? "";
    if (match === null || table[name]?.type !== "boolean") return true;
    booleans.set(name, match[2] === "true");
    return false;
  });
  return { plain, booleans };
}
