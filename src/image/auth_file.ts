/**
 * Registry credentials from an auth.json file (containers-auth.json(5)): keys are hosts or
 * repository prefixes, the most specific one that fits is used.
 *
 * @module
 */
import { errorMessage, FailedPreconditionError } from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";
import type { PullCredentials } from "./images.ts";

export interface AuthFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, PullCredentials>;
  /** Hosts whose credentials are with a helper program, which is not called. */
  readonly helpers: ReadonlyMap<string, string>;
}

/**
 * @returns undefined if there is no file
 * @throws {FailedPreconditionError} the file is wrong; never shows what it holds
 */
export async function loadAuthFile(path: string): Promise<AuthFile | undefined> {
  const text = await readAdminFile(path, "registry credentials file");
  return text === undefined ? undefined : parseAuthFile(text, path);
}

export function parseAuthFile(text: string, path: string): AuthFile {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    // Engines quote the text around the fault, which may be a secret.
    throw wrong(path, error instanceof SyntaxError ? "it is not JSON" : errorMessage(error));
  }
  if (!isObject(document)) throw wrong(path, "it is not a JSON object");
  const { auths = {}, credHelpers = {} } = document;
  if (!isObject(auths) || !isObject(credHelpers)) {
    throw wrong(path, "auths and credHelpers must be objects");
  }
  const entries = new Map<string, PullCredentials>();
  for (const [key, value] of Object.entries(auths)) {
    const credentials = entryOf(value, path, key);
    if (credentials !== undefined) entries.set(normalised(key), credentials);
  }
  const helpers = Object.entries(credHelpers).map(([key, value]) =>
    [normalised(key), String(value)] as const
  );
  return { path, entries, helpers: new Map(helpers) };
}

function entryOf(value: unknown, path: string, key: string): PullCredentials | undefined {
  if (!isObject(value)) throw wrong(path, `the entry of ${key} is not an object`);
  const { auth, identitytoken } = value;
  if (typeof identitytoken === "string" && identitytoken !== "") {
    throw wrong(path, `the entry of ${key} has an identity token, which is not supported yet`);
  }
  if (auth === undefined || auth === "") return undefined;
  const credentials = typeof auth === "string" ? decodeBasic(auth) : undefined;
  if (credentials === undefined) {
    throw wrong(path, `the auth of ${key} is not base64 of user:password`);
  }
  return credentials;
}

/** `user:password` in base64; undefined if it is not that. */
export function decodeBasic(text: string): PullCredentials | undefined {
  let decoded: string;
  try {
    // Some writers pad with NUL.
    decoded = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(text))
      .replace(/\0+$/, "");
  } catch {
    return undefined;
  }
  const colon = decoded.indexOf(":");
  return colon < 0
    ? undefined
    : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/**
 * Credentials for a repository, by the longest key that is the name or one of its parents.
 *
 * @param name `quay.io/team/app`
 * @throws {FailedPreconditionError} they are with a helper program
 */
export function credentialsFor(file: AuthFile, name: string): PullCredentials | undefined {
  for (let key = name;; key = key.slice(0, key.lastIndexOf("/"))) {
    const found = file.entries.get(key);
    if (found !== undefined) return found;
    const helper = file.helpers.get(key);
    if (helper !== undefined) {
      throw new FailedPreconditionError(
        `The credentials of ${key} are with the helper ${helper}, and helpers are not called yet`,
        { path: file.path, remedy: "put them into the file itself, with skopeo login" },
      );
    }
    if (!key.includes("/")) return undefined;
  }
}

/** Docker writes its own registry as a URL of an older interface. */
function normalised(key: string): string {
  const bare = key.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  const host = bare.replace(/\/v[12]$/, "");
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, why: string): FailedPreconditionError {
  return new FailedPreconditionError(`The registry credentials file ${path} is wrong: ${why}`, {
    path,
  });
}
