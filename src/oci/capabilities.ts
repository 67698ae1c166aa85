/** Linux capabilities of a container's process. @module */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import type { Capability } from "../proto/mod.ts";
import { CAPABILITIES } from "../sys/mod.ts";
import type { SpecCapabilities } from "./runtime_spec.ts";

export interface CapabilityInputs {
  readonly request: Capability | undefined;
  readonly privileged: boolean;
  readonly defaults: readonly string[];
  readonly addInheritable: boolean;
  /** What this process has: the most it can give. */
  readonly available: readonly string[];
}

/**
 * Defaults (unless ALL is added or dropped), then adds, then drops; all that this process has for a
 * privileged container. An ambient capability is an added one that also survives the change to a
 * user that is not root, for which the kernel wants it inheritable, too (`capabilities(7)`).
 *
 * @throws {InvalidArgumentError} a name is not a capability
 * @throws {FailedPreconditionError} one asked for by name is not this process's to give
 */
export function buildCapabilities(inputs: CapabilityInputs): SpecCapabilities {
  const { request, privileged, addInheritable } = inputs;
  const held = new Set(inputs.available);
  const ambient = parseNames(request?.addAmbientCapabilities ?? [], AMBIENT);
  refuseMissing(ambient, held, AMBIENT);
  const given = privileged ? held : givenCapabilities(inputs, ambient);
  return sets(given, addInheritable, ambient.has("ALL") ? given : given.intersection(ambient));
}

/** Of a container that is not privileged. What is dropped is in no set, whoever adds it. */
function givenCapabilities(
  { request, defaults, available }: CapabilityInputs,
  ambient: ReadonlySet<string>,
): Set<string> {
  const held = new Set(available);
  const named = parseNames(request?.addCapabilities ?? [], "add_capabilities");
  refuseMissing(named, held, "add_capabilities");
  const adds = named.union(ambient);
  const drops = parseNames(request?.dropCapabilities ?? [], "drop_capabilities");
  const result = new Set<string>();
  if (adds.has("ALL")) {
    held.forEach((name) => result.add(name));
  } else if (!drops.has("ALL")) {
    for (const name of parseNames(defaults, "default_capabilities", "")) {
      if (held.has(name)) result.add(name);
    }
  }
  for (const name of adds) if (name !== "ALL") result.add(name);
  // ALL next to ALL: the request contradicts itself, and the smaller set is the safe reading.
  if (drops.has("ALL") && adds.has("ALL")) result.clear();
  for (const name of drops) result.delete(name);
  return result;
}

const KNOWN: ReadonlySet<string> = new Set(CAPABILITIES);
const FIELD = "config.linux.security_context.capabilities";
const AMBIENT = "add_ambient_capabilities";

function refuseMissing(names: ReadonlySet<string>, held: ReadonlySet<string>, list: string): void {
  const missing = [...names].find((name) => name !== "ALL" && !held.has(name));
  if (missing === undefined) return;
  throw new FailedPreconditionError(
    `Capability ${missing} cannot be given: this runtime does not have it itself`,
    {
      field: `${FIELD}.${list}`,
      value: missing,
      remedy: "start the runtime with it, or leave it out of the pod",
    },
  );
}

function parseNames(names: readonly string[], list: string, prefix = `${FIELD}.`): Set<string> {
  return new Set(names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === "ALL") return upper;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!KNOWN.has(name)) {
      throw new InvalidArgumentError(`${shown(given)} is not a capability`, {
        field: `${prefix}${list}`,
        value: given,
      });
    }
    return name;
  }));
}

function sets(
  names: ReadonlySet<string>,
  addInheritable: boolean,
  ambientNames: ReadonlySet<string>,
): SpecCapabilities {
  const sorted = CAPABILITIES.filter((name) => names.has(name));
  const ambient = CAPABILITIES.filter((name) => ambientNames.has(name));
  return {
    bounding: sorted,
    effective: sorted,
    permitted: sorted,
    inheritable: addInheritable ? sorted : ambient,
    ambient,
  };
}
