/**
 * Text of a configuration file into a tree of plain values, with limits.
 *
 * @module
 */
import { parse as parseToml, TomlError } from "smol-toml";
import { parseDocument } from "yaml";
import { errorMessage, InvalidArgumentError } from "../errors/mod.ts";

/** A node of a parsed file. Integers are bigint, so that a float is never taken for one. */
export type Node =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly Node[]
  | { readonly [key: string]: Node };

/** CRI-O's documented file has 30 KiB. */
export const FILE_LIMIT_BYTES = 1 << 20;

/**
 * Parses TOML or YAML: by the suffix, else by the first byte (`{` can only begin YAML).
 *
 * @throws {InvalidArgumentError} the text is neither; names line and column
 */
export function parseFile(path: string, text: string): { readonly [key: string]: Node } {
  const tree = isYaml(path, text) ? yamlTree(path, text) : tomlTree(path, text);
  if (tree === null) return {};
  if (!isTable(tree)) {
    throw new InvalidArgumentError(`Cannot read ${path}: it holds no table`, { path });
  }
  return tree;
}

export function isTable(node: Node | undefined): node is { readonly [key: string]: Node } {
  return typeof node === "object" && node !== null && !Array.isArray(node);
}

function isYaml(path: string, text: string): boolean {
  if (/\.ya?ml$/.test(path)) return true;
  if (/\.(toml|conf)$/.test(path)) return false;
  return text.trimStart().startsWith("{");
}

function tomlTree(path: string, text: string): Node {
  try {
    return parseToml(text, { integersAsBigInt: true }) as Node;
  } catch (error) {
    const where = error instanceof TomlError ? `:${error.line}:${error.column}` : "";
    const [reason = ""] = errorMessage(error).replace("Invalid TOML document: ", "").split("\n");
    throw new InvalidArgumentError(`Cannot read ${path}${where}: ${reason}`, {
      path,
      cause: error,
    });
  }
}

function yamlTree(path: string, text: string): Node {
  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    merge: false,
    uniqueKeys: true,
    intAsBigInt: true,
    prettyErrors: true,
    logLevel: "error",
  });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const at = problem.linePos?.[0];
    const where = at === undefined ? "" : `:${at.line}:${at.col}`;
    const [reason = ""] = problem.message.split("\n");
    throw new InvalidArgumentError(`Cannot read ${path}${where}: ${reason}`, { path });
  }
  try {
    // An alias can make a small file huge; no configuration needs one.
    return document.toJS({ maxAliasCount: 0 }) as Node;
  } catch (error) {
    throw new InvalidArgumentError(`Cannot read ${path}: ${errorMessage(error)}`, {
      path,
      cause: error,
    });
  }
}
