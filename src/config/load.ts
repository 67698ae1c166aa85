/**
 * Reads the configuration: defaults, then the file, then its drop-ins, then the environment, then
 * flags. What is wrong is collected, so that one look shows all of it; nothing here stops the
 * process.
 *
 * @module
 */
import { FailedPreconditionError } from "../errors/mod.ts";
import { adapt } from "./adapt.ts";
import type { Configuration, Flavour } from "./configuration.ts";
import {
  type ConfigurationPlace,
  type FileOptions,
  flavourOf,
  placesOf,
  readFiles,
} from "./configuration_files.ts";
import type { MergedConfiguration, Notice, Source } from "./merged.ts";
import { Merger } from "./merger.ts";
import type { NodeFacts } from "./node_facts.ts";

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** Whose defaults apply: CRI-O's if what was read is a crio.conf. */
  readonly flavour: Flavour;
  readonly notices: readonly Notice[];
  readonly sources: ReadonlyMap<string, Source>;
  /** The files read, in order. */
  readonly files: readonly string[];
  /** Where a change may mean another configuration, whether something is there yet or not. */
  readonly places: readonly ConfigurationPlace[];
}

export interface LoadOptions extends FileOptions {
  /** Values of flags by long name without dashes: `{ "log-level": ["debug"] }`. */
  readonly flags?: ReadonlyMap<string, readonly string[]>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly node: NodeFacts;
}

/**
 * @throws {NotFoundError} the file given does not exist
 * @throws {InvalidArgumentError} a file is too large, or neither TOML nor YAML
 */
export async function loadConfiguration(options: LoadOptions): Promise<LoadedConfiguration> {
  const files = await readFiles(options);
  const flavour = flavourOf(options, files);
  const merger = new Merger(flavour);
  for (const file of files) merger.file(file);
  merger.environment(options.env ?? {});
  merger.flags(options.flags ?? new Map());
  const merged = merger.result();
  const adapted = await adapt(merged, options.node);
  return {
    configuration: adapted.configuration,
    flavour,
    notices: [...merged.notices, ...adapted.notices],
    sources: adapted.sources,
    files: files.map((file) => file.path),
    places: placesOf(options),
  };
}

/**
 * What files alone say, not fitted to the node.
 *
 * @throws {NotFoundError} the file does not exist
 * @throws {InvalidArgumentError} a file is too large, or neither TOML nor YAML
 */
export async function mergeFiles(
  options: FileOptions,
): Promise<{ readonly merged: MergedConfiguration; readonly files: readonly string[] }> {
  const files = await readFiles(options);
  const merger = new Merger(flavourOf(options, files));
  for (const file of files) merger.file(file);
  return { merged: merger.result(), files: files.map((file) => file.path) };
}

/** @throws {FailedPreconditionError} the notices hold an error; its message lists all of them */
export function assertUsable(loaded: LoadedConfiguration): void {
  const errors = loaded.notices.filter((notice) => notice.level === "error");
  if (errors.length === 0) return;
  throw new FailedPreconditionError(
    `Cannot start with this configuration: ${errors.map((notice) => notice.message).join("; ")}`,
    { field: errors[0]!.key, remedy: "correct it and try `sauropod config check`" },
  );
}
