/**
 * A crio.conf with its drop-ins as one file of our own that means the same.
 *
 * @module
 */
import { InvalidArgumentError } from "../errors/mod.ts";
import { judged } from "./adapt.ts";
import { type Configuration, defaultOf } from "./configuration.ts";
import type { KeyValue } from "./keys.ts";
import { mergeFiles } from "./load.ts";
import { allKeys, hasDefault, valueAt } from "./merged.ts";
import { printConfiguration } from "./print.ts";

export interface ConvertOptions {
  /** The crio.conf. */
  readonly configPath: string;
  /** Its drop-ins; `crio.conf.d` beside the file without it. */
  readonly configDir?: string;
}

export interface ConvertedConfiguration {
  /** The new file. */
  readonly text: string;
  /** What was read, in order. */
  readonly files: readonly string[];
  readonly remarks: readonly ConversionRemark[];
}

export interface ConversionRemark {
  /**
   * - `left out`: the new file lacks it; nothing changes by that.
   * - `not in effect`: it is in the new file, and will count once it is built.
   * - `stops the start`: it is in the new file, and has to be decided by a person.
   * - `unknown`: no such key; not in the new file.
   */
  readonly kind: "left out" | "not in effect" | "stops the start" | "unknown";
  readonly key: string;
  readonly message: string;
}

/**
 * Keys that the files leave out keep CRI-O's defaults, so that directories and socket stay where
 * they are. What stops a start stays in the file: leaving it out would drop a safeguard in silence.
 *
 * @throws {NotFoundError} there is no such file
 * @throws {InvalidArgumentError} it cannot be read, or is a file of our own
 */
export async function convertConfiguration(
  options: ConvertOptions,
): Promise<ConvertedConfiguration> {
  const { merged, files } = await mergeFiles(options);
  if (merged.flavour !== "crio") {
    throw new InvalidArgumentError(`Cannot convert ${options.configPath}: it is no crio.conf`, {
      path: options.configPath,
      remedy: "name a file with tables below [crio]",
    });
  }
  const remarks: ConversionRemark[] = merged.notices.map(({ level, key, message }) => ({
    kind: level === "error" ? "stops the start" : "unknown",
    key,
    message,
  }));
  const noEffect = new Set(
    allKeys().filter(({ key }) => key.standing === "noEffect").map(({ path }) => path),
  );
  for (const { level, key, message } of judged(merged)) {
    const kind = level === "error"
      ? "stops the start"
      : noEffect.has(key)
      ? "left out"
      : "not in effect";
    remarks.push({ kind, key, message });
  }
  return {
    text: printConfiguration(withoutEffectless(merged.configuration), {
      flavour: "sauropod",
      // A value that was written may count for more than the same one as the default.
      stated: new Set([...merged.sources.keys()].filter((path) => !noEffect.has(path))),
    }),
    files,
    remarks,
  };
}

/** Keys that cannot change anything here get our default, which is printed as a comment. */
function withoutEffectless(configuration: Configuration): Configuration {
  const result = structuredClone(configuration);
  for (const { path, key } of allKeys()) {
    if (key.standing !== "noEffect") continue;
    if (hasDefault(key, valueAt(configuration, path), "sauropod")) continue;
    const names = path.includes(".") ? path.split(".") : ["base", path];
    let table = result as unknown as Record<string, unknown>;
    for (const name of names.slice(0, -1)) table = table[name] as Record<string, unknown>;
    table[names.at(-1)!] = defaultOf(key, "sauropod") satisfies KeyValue;
  }
  return result;
}
