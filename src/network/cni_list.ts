/**
 * CNI network configuration lists (specification 0.3.1 to 1.1, section 1), parsed and checked.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { JsonObject, JsonValue } from "../model/mod.ts";

/** Versions whose results this runtime understands, oldest first. */
export const CNI_VERSIONS: readonly string[] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

export interface CniPlugin {
  /** Name of the executable, without a path. */
  readonly type: string;
  /** Capabilities that are declared true. */
  readonly capabilities: ReadonlySet<string>;
  /** Type of the IPAM plugin that this one runs, if any. */
  readonly ipam: string | undefined;
  /** The plugin's configuration as it was written. */
  readonly configuration: JsonObject;
}

export interface CniList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly CniPlugin[];
}

/** The specification's form; also keeps a file name out of every place a network's name goes to. */
const NETWORK_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** A file name and nothing else: no separator, no `..`, no option. */
const PLUGIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** Chains in use have two to five. */
const MAX_PLUGINS = 32;

/**
 * A list as JSON, or a single plugin's configuration wrapped into a list of one.
 *
 * @throws {InvalidArgumentError} what is wrong with it
 */
export function parseCniList(json: unknown): CniList {
  const object = objectOf(json, "the file");
  const name = object["name"];
  if (typeof name !== "string" || !NETWORK_NAME.test(name)) {
    throw wrong("name", name, "is not a network name");
  }
  const cniVersion = versionOf(object);
  if (object["plugins"] === undefined) {
    if (object["type"] === undefined) throw wrong("plugins", undefined, "is missing");
    return { name, cniVersion, plugins: [parsePlugin(object)] };
  }
  const plugins = object["plugins"];
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > MAX_PLUGINS) {
    throw wrong("plugins", undefined, `is not a list of 1 to ${MAX_PLUGINS}`);
  }
  return {
    name,
    cniVersion,
    plugins: plugins.map((plugin) => parsePlugin(objectOf(plugin, "a plugin"))),
  };
}

/** The list as JSON that {@link parseCniList} reads back, for the record. */
export function cniListJson(list: CniList): JsonObject {
  return {
    cniVersion: list.cniVersion,
    name: list.name,
    plugins: list.plugins.map(({ configuration }) => configuration),
  };
}

function parsePlugin(configuration: JsonObject): CniPlugin {
  const type = pluginName(configuration["type"], "type");
  const declared = configuration["capabilities"];
  const capabilities = declared === undefined
    ? []
    : Object.entries(objectOf(declared, "capabilities")).filter(([, value]) => value === true);
  const ipam = configuration["ipam"];
  const ipamType = isObject(ipam) && ipam["type"] !== undefined && ipam["type"] !== ""
    ? pluginName(ipam["type"], "ipam.type")
    : undefined;
  return {
    type,
    capabilities: new Set(capabilities.map(([name]) => name)),
    ipam: ipamType,
    configuration,
  };
}

function pluginName(value: JsonValue | undefined, field: string): string {
  if (typeof value !== "string" || !PLUGIN_NAME.test(value)) {
    throw wrong(field, value, "is not the name of a plugin");
  }
  return value;
}

/** `cniVersion`, or the newest of `cniVersions` (1.1) that is understood here. */
function versionOf(object: JsonObject): string {
  const offered = object["cniVersions"];
  const versions = [
    ...(Array.isArray(offered) ? offered : []),
    ...(object["cniVersion"] === undefined ? [] : [object["cniVersion"]]),
  ];
  const best = CNI_VERSIONS.findLast((version) => versions.includes(version));
  if (best === undefined) {
    throw wrong("cniVersion", versions.join(", "), `is not one of ${CNI_VERSIONS.join(", ")}`);
  }
  return best;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown, what: string): JsonObject {
  if (!isObject(value)) throw new InvalidArgumentError(`${what} is not a JSON object`);
  return value;
}

function wrong(field: string, value: unknown, why: string): InvalidArgumentError {
  const text = value === undefined ? "" : ` ${shown(value)}`;
  return new InvalidArgumentError(`${field}${text} ${why}`, { field });
}
