/** Which AppArmor profile a container runs under. @module */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  shown,
  UnimplementedError,
} from "../errors/mod.ts";
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from "../proto/mod.ts";
import type { NodeFacts } from "./spec_inputs.ts";

const FIELD = "config.linux.security_context.apparmor";

type Wanted =
  | { readonly kind: "unstated" | "runtime-default" | "unconfined" }
  | { readonly kind: "localhost"; readonly profile: string };

/**
 * Undefined for none.
 *
 * @throws {FailedPreconditionError} a profile is asked for by name on a node without AppArmor
 * @throws {UnimplementedError} RuntimeDefault is asked for and no default profile is loaded
 */
export function appArmorProfile(
  security: LinuxContainerSecurityContext | undefined,
  node: Pick<NodeFacts, "appArmor">,
): string | undefined {
  const wanted = wantedProfile(security);
  switch (wanted.kind) {
    case "unconfined":
      return node.appArmor === null ? undefined : "unconfined";
    case "localhost":
      if (node.appArmor === null) {
        throw new FailedPreconditionError(
          `AppArmor profile ${shown(wanted.profile)} cannot be used: this node has no AppArmor`,
          { field: FIELD, value: wanted.profile },
        );
      }
      // A privileged container is unconfined by definition.
      return security?.privileged ? undefined : wanted.profile;
    case "runtime-default":
    case "unstated": {
      if (node.appArmor === null || security?.privileged) return undefined;
      const profile = node.appArmor.defaultProfile;
      if (profile === null && wanted.kind === "runtime-default") {
        throw new UnimplementedError(
          "AppArmor profile RuntimeDefault is not available: it is not loaded and cannot be",
          {
            field: FIELD,
            remedy: "install apparmor_parser on the node, or ask for Unconfined",
          },
        );
      }
      return profile ?? undefined;
    }
    default: {
      const never: never = wanted;
      return never;
    }
  }
}

/** The structured field, else the deprecated text. */
function wantedProfile(security: LinuxContainerSecurityContext | undefined): Wanted {
  const structured = security?.apparmor;
  if (structured !== undefined) {
    switch (structured.profileType) {
      case SecurityProfile_ProfileType.RuntimeDefault:
        return { kind: "runtime-default" };
      case SecurityProfile_ProfileType.Unconfined:
        return { kind: "unconfined" };
      case SecurityProfile_ProfileType.Localhost:
        return localhost(structured.localhostRef);
      default:
        throw new InvalidArgumentError(
          `AppArmor profile type ${structured.profileType} is unknown`,
          {
            field: `${FIELD}.profile_type`,
            value: String(structured.profileType),
          },
        );
    }
  }
  const text = security?.apparmorProfile ?? "";
  if (text === "") return { kind: "unstated" };
  if (text === "runtime/default") return { kind: "runtime-default" };
  if (text === "unconfined") return { kind: "unconfined" };
  if (text.startsWith("localhost/")) return localhost(text);
  throw new InvalidArgumentError(`AppArmor profile ${shown(text)} is not of a known form`, {
    field: `${FIELD}_profile`,
    value: text,
    remedy: "give runtime/default, unconfined or localhost/<name>",
  });
}

function localhost(ref: string): Wanted {
  const profile = ref.replace(/^localhost\//, "");
  // deno-lint-ignore no-control-regex -- the name is written to a file of the kernel
  if (profile === "" || /[\0-\x1f\x7f]/.test(profile)) {
    throw new InvalidArgumentError(`AppArmor profile name ${shown(profile)} is not valid`, {
      field: `${FIELD}.localhost_ref`,
      value: ref,
    });
  }
  return { kind: "localhost", profile };
}
