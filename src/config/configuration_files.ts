/**
 * Which files a configuration stands in, and what is in them: the file itself and its drop-ins.
 *
 * @module
 */
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
} from "../errors/mod.ts";
import { FILE_LIMIT_BYTES, type Node, parseFile } from "./_document.ts";
import type { Flavour } from "./configuration.ts";

export interface FileOptions {
  /** Given with --config: has to exist, unless it is empty, which reads no file at all. */
  readonly configPath?: string;
  /** Given with --config-dir; without it the folder that belongs to the file. */
  readonly configDir?: string;
}

export const DEFAULT_CONFIG_PATH = "/etc/sauropod/sauropod.toml";

/** One file of a directory, or all files of it. */
export interface ConfigurationPlace {
  readonly directory: string;
  readonly file?: string;
}

export interface ReadFile {
  readonly path: string;
  readonly tree: { readonly [key: string]: Node };
}

/**
 * In the order in which they count.
 *
 * @throws {NotFoundError} the file given does not exist
 * @throws {InvalidArgumentError} a file is too large, or neither TOML nor YAML
 */
export async function readFiles(options: FileOptions): Promise<ReadFile[]> {
  const files: ReadFile[] = [];
  const { configPath } = options;
  if (configPath !== "") {
    const path = configPath ?? DEFAULT_CONFIG_PATH;
    const text = await readBounded(path);
    if (text === undefined && configPath !== undefined) {
      throw new NotFoundError(`Cannot read the configuration ${path}: there is no such file`, {
        path,
        remedy: "name an existing file, or leave --config out for the defaults",
      });
    }
    if (text !== undefined) files.push({ path, tree: parseFile(path, text) });
  }
  const directory = options.configDir ?? dropInDirectory(configPath);
  if (directory !== "") {
    for (const path of await filesBelow(directory)) {
      const text = await readBounded(path);
      if (text !== undefined) files.push({ path, tree: parseFile(path, text) });
    }
  }
  return files;
}

/** Where {@link readFiles} looks. */
export function placesOf({ configPath, configDir }: FileOptions): ConfigurationPlace[] {
  const places: ConfigurationPlace[] = [];
  if (configPath !== "") {
    const path = configPath ?? DEFAULT_CONFIG_PATH;
    const slash = path.lastIndexOf("/");
    places.push({
      directory: slash < 0 ? "." : path.slice(0, slash) || "/",
      file: path.slice(slash + 1),
    });
  }
  const directory = configDir ?? dropInDirectory(configPath);
  if (directory !== "") places.push({ directory: directory.replace(/(?<=.)\/+$/, "") });
  return places;
}

/** `sauropod.conf.d` beside our file, `crio.conf.d` beside a crio.conf, nothing for other files. */
function dropInDirectory(configPath: string | undefined): string {
  const path = configPath ?? DEFAULT_CONFIG_PATH;
  const slash = path.lastIndexOf("/");
  const match = /^(sauropod|crio)\./.exec(path.slice(slash + 1));
  return match === null ? "" : `${path.slice(0, slash + 1)}${match[1]}.conf.d`;
}

const DIRECTORY_LIMIT = 1_000;

/** Regular files below a directory in lexical order of their paths; none if it does not exist. */
async function filesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    const entries: Deno.DirEntry[] = [];
    try {
      for await (const entry of Deno.readDir(path)) entries.push(entry);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return;
      }
      throw error;
    }
    entries.sort((left, right) => left.name < right.name ? -1 : 1);
    for (const entry of entries) {
      if (found.length >= DIRECTORY_LIMIT) {
        throw new InvalidArgumentError(
          `Cannot read ${directory}: it holds more than ${DIRECTORY_LIMIT} files`,
          { path: directory },
        );
      }
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory) await walk(child);
      else found.push(child);
    }
  };
  await walk(directory.replace(/\/+$/, ""));
  return found;
}

/** The file's text, or undefined if there is no such file. */
async function readBounded(path: string): Promise<string | undefined> {
  try {
    using file = await Deno.open(path, { read: true });
    const { isFile } = await file.stat();
    if (!isFile) throw new InvalidArgumentError(`Cannot read ${path}: it is no file`, { path });
    const buffer = new Uint8Array(FILE_LIMIT_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = await file.read(buffer.subarray(length));
      if (count === null) break;
      length += count;
    }
    if (length > FILE_LIMIT_BYTES) {
      throw new InvalidArgumentError(
        `Cannot read ${path}: it is longer than ${FILE_LIMIT_BYTES} bytes`,
        { path },
      );
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, length));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof TypeError) {
      throw new InvalidArgumentError(`Cannot read ${path}: it is not UTF-8 text`, { path });
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new FailedPreconditionError(`Cannot read ${path}: ${errorMessage(error)}`, { path });
    }
    throw error;
  }
}

/** Ours if any file speaks of `[sauropod]`; CRI-O's if one speaks of `[crio]`; else by the name. */
export function flavourOf(
  { configPath = DEFAULT_CONFIG_PATH }: FileOptions,
  files: readonly ReadFile[],
): Flavour {
  const roots = new Set(
    files.flatMap((file) => Object.keys(file.tree)).map((root) => root.toLowerCase()),
  );
  if (roots.has("sauropod")) return "sauropod";
  if (roots.has("crio")) return "crio";
  return /(^|\/)crio\.|^\/etc\/crio\//.test(configPath) ? "crio" : "sauropod";
}
