/**
 * Results of CNI plugins (specification section 5, versions 0.3.0 to 1.1.0), as hostile as any
 * output of another program.
 *
 * @module
 */
import { isIP } from "node:net";
import type { JsonObject, JsonValue } from "../model/mod.ts";

export type ParsedResult =
  | { readonly ok: true; readonly result: JsonObject; readonly ips: readonly string[] }
  | { readonly ok: false; readonly problem: string };

/** More addresses than a pod can have; a result is kept in the record. */
const MAX_IPS = 64;

/**
 * What a successful ADD printed.
 *
 * @param version the version that the configuration asked for
 */
export function parseResult(stdout: string, version: string): ParsedResult {
  if (stdout.trim() === "") return bad("printed no result");
  const json = parseJson(stdout);
  if (json === undefined) return bad("printed something that is not a JSON object");
  const found = json["cniVersion"];
  if (found !== undefined && found !== version) {
    return bad(`printed a result of version ${JSON.stringify(found)} instead of "${version}"`);
  }
  const interfaces = listOf(json["interfaces"]);
  const entries = listOf(json["ips"]);
  if (interfaces === undefined || entries === undefined) {
    return bad("printed a result whose interfaces or ips are not lists of objects");
  }
  if (entries.length > MAX_IPS) return bad(`printed a result with more than ${MAX_IPS} addresses`);
  const ips: string[] = [];
  for (const entry of entries) {
    const ip = addressOf(entry["address"]);
    if (ip === undefined) {
      return bad(`printed a result with the address ${JSON.stringify(entry["address"] ?? null)}`);
    }
    if (!isOnHost(entry["interface"], interfaces)) ips.push(ip);
  }
  return { ok: true, result: json, ips };
}

/** The answer to VERSION; undefined if it is none. */
export function parseSupportedVersions(stdout: string): string[] | undefined {
  const versions = parseJson(stdout)?.["supportedVersions"];
  if (!Array.isArray(versions)) return undefined;
  const texts = versions.filter((version) => typeof version === "string");
  return texts.length === 0 ? undefined : texts.slice(0, 64).map(printable);
}

/** Addresses of the pod in a result that {@link parseResult} has taken, with their prefix lengths. */
export function addressesOf(
  result: JsonObject,
): { readonly ip: string; readonly prefix: number }[] {
  const interfaces = listOf(result["interfaces"]) ?? [];
  return (listOf(result["ips"]) ?? []).flatMap((entry) => {
    const ip = addressOf(entry["address"]);
    if (ip === undefined || isOnHost(entry["interface"], interfaces)) return [];
    return [{ ip, prefix: Number(String(entry["address"]).split("/")[1]) }];
  });
}

/** Interfaces on the host's side that a result names: a bridge, the other end of a veth pair. */
export function hostInterfacesOf(result: JsonObject): string[] {
  const names = (listOf(result["interfaces"]) ?? [])
    .filter((entry) => (entry["sandbox"] ?? "") === "")
    .map((entry) => entry["name"]);
  return [...new Set(names)].filter((name) => typeof name === "string").filter(isInterfaceName);
}

/** A name that stands for one interface, in a path and in a rule: not `all`, not the loopback's. */
export function isInterfaceName(name: string): boolean {
  return /^[A-Za-z0-9_.@-]{1,15}$/.test(name) && !/^\.+$/.test(name) &&
    !["all", "default", "lo"].includes(name);
}

/** The message of an error object (specification section 5, "Error"), undefined if it is none. */
export function parseErrorMessage(stdout: string): string | undefined {
  const json = parseJson(stdout);
  const { msg, details, code } = json ?? {};
  if (typeof msg !== "string" || msg === "") return undefined;
  const more = typeof details === "string" && details !== "" ? `; ${details}` : "";
  const number = typeof code === "number" ? ` (code ${code})` : "";
  return printable(`${msg}${more}${number}`);
}

/** Text of another program as it may stand in a message: one line, at most 512 characters. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- terminal sequences and line breaks have no place in a log
  const line = text.replace(/[\x00-\x1f\x7f]+/g, " ").trim();
  return line.length > 512 ? `${line.slice(0, 509)}...` : line;
}

function parseJson(text: string): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json)
      ? json as JsonObject
      : undefined;
  } catch {
    return undefined;
  }
}

function listOf(value: JsonValue | undefined): JsonObject[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  return value.every((item) => typeof item === "object" && item !== null && !Array.isArray(item))
    ? value
    : undefined;
}

/** `10.0.0.2/24` without its prefix length. */
function addressOf(value: JsonValue | undefined): string | undefined {
  if (typeof value !== "string") return undefined;
  const match = /^([0-9A-Fa-f.:]+)\/([0-9]{1,3})$/.exec(value);
  const [, ip = "", prefix = ""] = match ?? [];
  const family = isIP(ip);
  return family !== 0 && Number(prefix) <= (family === 4 ? 32 : 128) ? ip : undefined;
}

/** True for an address of an interface outside the pod: plugins list the bridge and the host's veth, too. */
function isOnHost(index: JsonValue | undefined, interfaces: readonly JsonObject[]): boolean {
  if (typeof index !== "number") return false;
  const entry = interfaces[index];
  return entry !== undefined && (entry["sandbox"] ?? "") === "";
}

function bad(problem: string): ParsedResult {
  return { ok: false, problem };
}
