/** Linux capabilities of a container's process. @module */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  shown,
  UnimplementedError,
} from "../errors/mod.ts";
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
 * privileged container.
 *
 * @throws {InvalidArgumentError} a name is not a capability
 * @throws {FailedPreconditionError} one asked for by name is not this process's to give
 */
export function buildCapabilities(inputs: CapabilityInputs): SpecCapabilities {
  const { request, available } = inputs;
  const held = new Set(available);
  if ((request?.addAmbientCapabilities.length ?? 0) > 0) {
    throw new UnimplementedError("Ambient capabilities are not implemented", {
      field: `${FIELD}.add_ambient_capabilities`,
    });
  }
  if (inputs.privileged) return sets(held, inputs.addInheritable);

  const adds = parseNames(request?.addCapabilities ?? [], "add_capabilities");
  const drops = parseNames(request?.dropCapabilities ?? [], "drop_capabilities");
  const result = new Set<string>();
  if (adds.has("ALL")) {
    held.forEach((name) => result.add(name));
  } else if (!drops.has("ALL")) {
    for (const name of parseNames(inputs.defaults, "default_capabilities", "")) {
      if (held.has(name)) result.add(name);
    }
  }
  for (const name of adds) {
    if (name === "ALL") continue;
    if (!held.has(name)) {
      throw new FailedPreconditionError(
        `Capability ${name} cannot be given: this runtime does not have it itself`,
        {
          field: `${FIELD}.add_capabilities`,
          value: name,
          remedy: "start the runtime with it, or leave it out of the pod",
        },
      );
    }
    result.add(name);
  }
  // ALL next to ALL: the request contradicts itself, and the smaller set is the safe reading.
  if (drops.has("ALL") && adds.has("ALL")) result.clear();
  for (const name of drops) result.delete(name);
  return sets(result, inputs.addInheritable);
}

const KNOWN: ReadonlySet<string> = new Set(CAPABILITIES);
const FIELD = "config.linux.security_context.capabilities";

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

function sets(names: ReadonlySet<string>, addInheritable: boolean): SpecCapabilities {
  const sorted = CAPABILITIES.filter((name) => names.has(name));
  return {
    bounding: sorted,
    effective: sorted,
    permitted: sorted,
    inheritable: addInheritable ? sorted : [],
    ambient: [],
  };
}
