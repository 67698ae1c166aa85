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
  /** The newest of {@link offeredVersions}, unless an older one was chosen. */
  readonly cniVersion: string;
  /** `cniVersion` and `cniVersions` (1.1), as far as they are understood here; oldest first. */
  readonly offeredVersions: readonly string[];
  /** CHECK is never run. */
  readonly disableCheck: boolean;
  /** GC is never run: another runtime has pods in the network. */
  readonly disableGC: boolean;
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
  const offeredVersions = versionsOf(object);
  const head = {
    name,
    cniVersion: offeredVersions.at(-1) ?? "",
    offeredVersions,
    disableCheck: flagOf(object, "disableCheck"),
    disableGC: flagOf(object, "disableGC"),
  };
  if (object["plugins"] === undefined) {
    if (object["type"] === undefined) throw wrong("plugins", undefined, "is missing");
    return { ...head, plugins: [parsePlugin(object)] };
  }
  const plugins = object["plugins"];
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > MAX_PLUGINS) {
    throw wrong("plugins", undefined, `is not a list of 1 to ${MAX_PLUGINS}`);
  }
  return {
    ...head,
    plugins: plugins.map((plugin) => parsePlugin(objectOf(plugin, "a plugin"))),
  };
}

/** The list as JSON that {@link parseCniList} reads back, for the record: with the version in use alone. */
export function cniListJson(list: CniList): JsonObject {
  return {
    cniVersion: list.cniVersion,
    name: list.name,
    ...(list.disableCheck ? { disableCheck: true } : {}),
    ...(list.disableGC ? { disableGC: true } : {}),
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

/** Whether a version is at least another of {@link CNI_VERSIONS}. */
export function isAtLeast(version: string, least: string): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
}

/** `cniVersion` and `cniVersions` (1.1), as far as they are understood here; oldest first. */
function versionsOf(object: JsonObject): string[] {
  const offered = object["cniVersions"];
  const versions = [
    ...(Array.isArray(offered) ? offered : []),
    ...(object["cniVersion"] === undefined ? [] : [object["cniVersion"]]),
  ];
  const understood = CNI_VERSIONS.filter((version) => versions.includes(version));
  if (understood.length === 0) {
    throw wrong("cniVersion", versions.join(", "), `is not one of ${CNI_VERSIONS.join(", ")}`);
  }
  return understood;
}

/** True, or the text `true`: the specification allows both. */
function flagOf(object: JsonObject, field: string): boolean {
  const value = object[field];
  if (value === undefined || value === false || value === "false") return false;
  if (value === true || value === "true") return true;
  throw wrong(field, value, "is neither true nor false");
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
