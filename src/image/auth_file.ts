/**
 * Registry credentials from a file in the form of auth.json (containers-auth.json(5)) or of Docker's
 * config.json: keys are hosts or repository prefixes, the most specific one that fits is used.
 *
 * @module
 */
import { errorMessage, FailedPreconditionError, shown } from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";
import type { PullCredentials } from "./images.ts";
import { isHelperName } from "./registries_conf.ts";

/** Where an auth file may be, and how it is written. */
export interface AuthFilePath {
  readonly path: string;
  /** `.dockercfg`: the entries without `auths` around them. */
  readonly legacy: boolean;
}

export interface AuthFile {
  readonly path: string;
  readonly entries: ReadonlyMap<string, AuthEntry>;
  /** Host to the helper program that has its credentials. */
  readonly helpers: ReadonlyMap<string, string>;
  /** `credsStore`: the helper for every host that is not named otherwise. */
  readonly store: string | undefined;
}

/** One entry; what is wrong with it is told when it is needed. */
export type AuthEntry =
  | { readonly kind: "credentials"; readonly credentials: PullCredentials }
  | { readonly kind: "wrong"; readonly why: string };

/** What an auth file knows about a repository. */
export type AuthAnswer =
  | { readonly kind: "credentials"; readonly credentials: PullCredentials }
  /** A program has them; `server` is what it is asked for. */
  | { readonly kind: "helper"; readonly helper: string; readonly server: string }
  | { readonly kind: "none" };

/**
 * The files that the container tools read for the user that this process is, in their order.
 *
 * @param env `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME`, `DOCKER_CONFIG`, `HOME` count
 */
export function defaultAuthFiles(
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
): readonly AuthFilePath[] {
  const run = env["XDG_RUNTIME_DIR"] || `/run/containers/${uid}`;
  const home = env["HOME"] || "/root";
  const config = env["XDG_CONFIG_HOME"] || `${home}/.config`;
  const docker = env["DOCKER_CONFIG"] || `${home}/.docker`;
  return [
    { path: run === env["XDG_RUNTIME_DIR"] ? `${run}/containers/auth.json` : `${run}/auth.json` },
    { path: `${config}/containers/auth.json` },
    { path: `${docker}/config.json` },
    { path: `${home}/.dockercfg`, legacy: true },
  ].map(({ path, legacy = false }) => ({ path, legacy }));
}

/**
 * @returns undefined if there is no file
 * @throws {FailedPreconditionError} the file is wrong; never shows what it holds
 */
export async function loadAuthFile(
  { path, legacy }: AuthFilePath,
): Promise<AuthFile | undefined> {
  const text = await readAdminFile(path, "registry credentials file");
  return text === undefined ? undefined : parseAuthFile(text, path, legacy);
}

export function parseAuthFile(text: string, path: string, legacy = false): AuthFile {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    // Engines quote the text around the fault, which may be a secret.
    throw wrong(path, error instanceof SyntaxError ? "it is not JSON" : errorMessage(error));
  }
  if (!isObject(document)) throw wrong(path, "it is not a JSON object");
  const { auths = {}, credHelpers = {}, credsStore = "" } = legacy
    ? { auths: document }
    : document as Record<string, unknown>;
  if (!isObject(auths) || !isObject(credHelpers)) {
    throw wrong(path, "auths and credHelpers must be objects");
  }
  const entries = new Map<string, AuthEntry>();
  for (const [key, value] of Object.entries(auths)) {
    const entry = entryOf(value, key);
    if (entry !== undefined) entries.set(normalisedServer(key), entry);
  }
  const helpers = Object.entries(credHelpers).map(([key, value]) =>
    [normalisedServer(key), helperOf(value, path, `credHelpers of ${shown(key)}`)] as const
  );
  return {
    path,
    entries,
    helpers: new Map(helpers),
    store: credsStore === "" ? undefined : helperOf(credsStore, path, "credsStore"),
  };
}

function helperOf(value: unknown, path: string, at: string): string {
  if (typeof value === "string" && isHelperName(value)) return value;
  throw wrong(path, `${at} is not the name of a helper program`);
}

function entryOf(value: unknown, key: string): AuthEntry | undefined {
  const bad = (why: string): AuthEntry => ({ kind: "wrong", why });
  if (!isObject(value)) return bad(`the entry of ${key} is not an object`);
  const { auth, identitytoken } = value;
  if (typeof identitytoken === "string" && identitytoken !== "") {
    return { kind: "credentials", credentials: { identityToken: identitytoken } };
  }
  if (auth === undefined || auth === "") return undefined;
  const credentials = typeof auth === "string" ? decodeBasic(auth) : undefined;
  return credentials === undefined
    ? bad(`the auth of ${key} is not base64 of user:password`)
    : { kind: "credentials", credentials };
}

/** `user:password` in base64; undefined if it is not that. */
export function decodeBasic(
  text: string,
): { readonly username: string; readonly password: string } | undefined {
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
 * What the file has for a repository: a helper of its host, else the longest key that is the name or
 * one of its parents, else the file's store.
 *
 * @param name `quay.io/team/app`
 * @throws {FailedPreconditionError} the entry that fits is wrong
 */
export function authFor(file: AuthFile, name: string): AuthAnswer {
  const host = name.split("/")[0]!;
  const helper = file.helpers.get(host);
  if (helper !== undefined) return { kind: "helper", helper, server: host };
  for (let key = name;; key = key.slice(0, key.lastIndexOf("/"))) {
    const found = file.entries.get(key);
    if (found?.kind === "wrong") throw wrong(file.path, found.why);
    if (found !== undefined) return found;
    if (!key.includes("/")) break;
  }
  return file.store === undefined
    ? { kind: "none" }
    // Docker keeps its own registry's by the address of an older interface.
    : {
      kind: "helper",
      helper: file.store,
      server: host === "docker.io" ? "https://index.docker.io/v1/" : host,
    };
}

/** A server as files and requests write it, as names begin: Docker writes URLs of an older interface. */
export function normalisedServer(key: string): string {
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
