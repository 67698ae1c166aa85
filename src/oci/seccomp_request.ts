/** Which seccomp profile a request asks for. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from "../proto/mod.ts";

export type SeccompRequest =
  | { readonly kind: "unstated" | "unconfined" | "runtime-default" }
  /** The caller reads and parses the file. */
  | { readonly kind: "localhost"; readonly path: string };

const FIELD = "config.linux.security_context.seccomp";

/**
 * The structured field, else the deprecated text; a privileged container asks for none.
 *
 * @throws {InvalidArgumentError} an unknown type, or a Localhost profile without an absolute path
 */
export function seccompRequest(
  security: LinuxContainerSecurityContext | undefined,
): SeccompRequest {
  if (security?.privileged) return { kind: "unconfined" };
  const structured = security?.seccomp;
  if (structured !== undefined) {
    switch (structured.profileType) {
      case SecurityProfile_ProfileType.RuntimeDefault:
        return { kind: "runtime-default" };
      case SecurityProfile_ProfileType.Unconfined:
        return { kind: "unconfined" };
      case SecurityProfile_ProfileType.Localhost:
        return localhost(structured.localhostRef, `${FIELD}.localhost_ref`);
      default:
        throw new InvalidArgumentError(
          `Seccomp profile type ${structured.profileType} is unknown`,
          {
            field: `${FIELD}.profile_type`,
            value: String(structured.profileType),
          },
        );
    }
  }
  const text = security?.seccompProfilePath ?? "";
  if (text === "") return { kind: "unstated" };
  if (text === "unconfined") return { kind: "unconfined" };
  if (text === "runtime/default" || text === "docker/default") return { kind: "runtime-default" };
  return localhost(text.replace(/^localhost\//, ""), `${FIELD}_profile_path`);
}

/**
 * The profile that counts: for a privileged container that of `privileged_seccomp_profile`, if one is
 * configured, whatever the request says.
 */
export function effectiveSeccomp(
  security: LinuxContainerSecurityContext | undefined,
  privileged: { readonly path: string } | undefined,
): SeccompRequest {
  return security?.privileged && privileged !== undefined
    ? { kind: "localhost", path: privileged.path }
    : seccompRequest(security);
}

function localhost(path: string, field: string): SeccompRequest {
  // deno-lint-ignore no-control-regex -- the path is recorded in annotations
  if (!path.startsWith("/") || /[\0-\x1f\x7f]/.test(path)) {
    throw new InvalidArgumentError(`Seccomp profile ${shown(path)} is not an absolute path`, {
      field,
      value: path,
    });
  }
  return { kind: "localhost", path };
}
