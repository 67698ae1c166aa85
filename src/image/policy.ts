/**
 * policy.json: what may be pulled from where. Built so far are the two rules without signatures,
 * `insecureAcceptAnything` and `reject`; a policy with any other rule is refused as a whole.
 *
 * Format: containers-policy.json(5).
 *
 * @module
 */
import {
  errorMessage,
  FailedPreconditionError,
  PermissionDeniedError,
  shown,
  UnimplementedError,
} from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";
import type { ImageReference } from "./reference.ts";

export const DEFAULT_POLICY_PATH = "/etc/containers/policy.json";

export type Verdict = "accept" | "reject";

export interface Policy {
  readonly path: string;
  readonly byDefault: Verdict;
  /** Transport (`docker`, `docker-archive`, `oci`) to scope to verdict; the scope "" is its default. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, Verdict>>;
  /** The file is not there: everything is refused and the message says so. */
  readonly missing: boolean;
}

/**
 * Reads a policy that the configuration names, so that it must be there and be understood: what this
 * throws stops the start.
 *
 * @throws {FailedPreconditionError} missing, unreadable or wrong; names the file and the place
 * @throws {UnimplementedError} a rule of another type
 */
export async function loadPolicy(path: string): Promise<Policy> {
  const policy = await loadPolicyIfThere(path);
  if (policy !== undefined) return policy;
  throw new FailedPreconditionError(`There is no signature policy at ${path}`, {
    field: "signature_policy",
    path,
    remedy: `write {"default":[{"type":"insecureAcceptAnything"}]} there, or name another file`,
  });
}

/** The policy of the default path: without the file every pull is refused, with the remedy. */
export async function loadDefaultPolicy(path: string = DEFAULT_POLICY_PATH): Promise<Policy> {
  return await loadPolicyIfThere(path) ??
    { path, byDefault: "reject", transports: new Map(), missing: true };
}

/** As {@link loadPolicy}, but undefined without a file. */
async function loadPolicyIfThere(path: string): Promise<Policy | undefined> {
  const text = await readAdminFile(path, "signature policy");
  return text === undefined ? undefined : parsePolicy(text, path);
}

const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,251}[a-z0-9])?$/;

/** True for what Kubernetes accepts as a namespace: it may be part of a file's name. */
export function isNamespace(name: string): boolean {
  return NAMESPACE.test(name);
}

/** The policy of a namespace; undefined if it has none of its own. Throws as {@link loadPolicy}. */
export async function namespacePolicy(
  directory: string,
  namespace: string,
): Promise<Policy | undefined> {
  return isNamespace(namespace)
    ? await loadPolicyIfThere(`${directory}/${namespace}.json`)
    : undefined;
}

export function parsePolicy(text: string, path: string): Policy {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw wrong(path, "", errorMessage(error));
  }
  const top = objectAt(document, path, "");
  for (const key of Object.keys(top)) {
    if (key !== "default" && key !== "transports") throw wrong(path, key, "the key is not known");
  }
  if (!Object.hasOwn(top, "default")) throw wrong(path, "default", "it is missing");
  const transports = new Map<string, ReadonlyMap<string, Verdict>>();
  if (Object.hasOwn(top, "transports")) {
    const all = objectAt(top["transports"], path, "transports");
    for (const [name, value] of Object.entries(all)) {
      const at = `transports.${name}`;
      const scopes = Object.entries(objectAt(value, path, at));
      transports.set(
        name,
        new Map(scopes.map(([scope, rules]) => [scope, verdictOf(rules, path, `${at}.${scope}`)])),
      );
    }
  }
  return {
    path,
    byDefault: verdictOf(top["default"], path, "default"),
    transports,
    missing: false,
  };
}

/** Every rule of a list must be met, so one `reject` decides. */
function verdictOf(rules: unknown, path: string, at: string): Verdict {
  if (!Array.isArray(rules) || rules.length === 0) {
    throw wrong(path, at, "it is not a list of at least one rule");
  }
  let verdict: Verdict = "accept";
  for (const rule of rules) {
    const { type, ...rest } = objectAt(rule, path, at);
    if (type !== "insecureAcceptAnything" && type !== "reject") {
      throw new UnimplementedError(
        `The signature policy ${path} has a rule ${shown(type)} at ${at}, and only ` +
          "insecureAcceptAnything and reject are supported yet",
        {
          field: "signature_policy",
          path,
          value: String(type),
          remedy: "use a policy of those two rules, as no signature would be checked",
        },
      );
    }
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined) throw wrong(path, at, `${shown(unknown)} is not known`);
    if (type === "reject") verdict = "reject";
  }
  return verdict;
}

function objectAt(value: unknown, path: string, at: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(path, at, "it is not an object");
  }
  return value as Record<string, unknown>;
}

/**
 * Passes if the policy lets the reference be pulled.
 *
 * @throws {PolicyRejectedError} names the scope that decided, and the file
 */
export function checkPull(policy: Policy, reference: ImageReference): void {
  const docker = policy.transports.get("docker");
  for (const scope of docker === undefined ? [] : scopesOf(reference)) {
    const verdict = docker!.get(scope);
    if (verdict === undefined) continue;
    if (verdict === "accept") return;
    throw rejected(policy, `pull ${reference}`, `docker scope ${shown(scope)}`);
  }
  if (policy.byDefault === "reject") throw rejected(policy, `pull ${reference}`, "default");
}

/**
 * The same for an image from a file.
 *
 * @param transport `docker-archive`, `oci` or `oci-archive`
 */
export function checkLoad(policy: Policy, transport: string, path: string): void {
  const scopes = policy.transports.get(transport);
  for (const scope of scopes === undefined ? [] : pathScopes(path)) {
    const verdict = scopes!.get(scope);
    if (verdict === undefined) continue;
    if (verdict === "accept") return;
    throw rejected(policy, `load ${path}`, `${transport} scope ${shown(scope)}`);
  }
  if (policy.byDefault === "reject") throw rejected(policy, `load ${path}`, "default");
}

/** Most specific first: the reference, its repository, each namespace, the host, wildcards, all. */
function scopesOf(reference: ImageReference): string[] {
  const scopes = [String(reference), reference.repository];
  let rest = reference.repository;
  for (let slash = rest.lastIndexOf("/"); slash > 0; slash = rest.lastIndexOf("/")) {
    rest = rest.slice(0, slash);
    scopes.push(rest);
  }
  const labels = reference.domain.replace(/:\d+$/, "").split(".");
  for (let i = 1; i < labels.length; i++) scopes.push(`*.${labels.slice(i).join(".")}`);
  return [...scopes, ""];
}

function pathScopes(path: string): string[] {
  const scopes = [path];
  let rest = path;
  for (let slash = rest.lastIndexOf("/"); slash > 0; slash = rest.lastIndexOf("/")) {
    rest = rest.slice(0, slash);
    scopes.push(rest);
  }
  return [...scopes, ""];
}

/** The signature policy rejects an image. */
export class PolicyRejectedError extends PermissionDeniedError {}

function rejected(policy: Policy, what: string, scope: string): PolicyRejectedError {
  return policy.missing
    ? new PolicyRejectedError(`Cannot ${what}: there is no signature policy at ${policy.path}`, {
      path: policy.path,
      remedy: `write {"default":[{"type":"insecureAcceptAnything"}]} there to accept all images, ` +
        "or name a policy with signature_policy",
    })
    : new PolicyRejectedError(
      `Cannot ${what}: the signature policy ${policy.path} rejects it (${scope})`,
      { path: policy.path, value: scope, remedy: "change the policy, or use an accepted registry" },
    );
}

function wrong(path: string, at: string, why: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `The signature policy ${path} is wrong${at === "" ? "" : ` at ${at}`}: ${why}`,
    { field: "signature_policy", path },
  );
}
