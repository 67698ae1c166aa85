/**
 * Rules that a sandbox's and a container's security context share.
 *
 * @module
 */
import {
  type Int64Value,
  NamespaceMode,
  type NamespaceOption,
  type SecurityProfile,
  SecurityProfile_ProfileType as ProfileType,
  type SELinuxOption,
  SupplementalGroupsPolicy,
} from "../proto/mod.ts";
import {
  checkAbsolutePath,
  checkEach,
  checkEnum,
  checkLength,
  checkNoControl,
  checkRange,
  ID_RANGE,
  refuse,
} from "./field_checks.ts";
import { LIMITS } from "./limits.ts";

/** What both security contexts have. */
export interface SharedSecurityContext {
  readonly namespaceOptions: NamespaceOption | undefined;
  readonly selinuxOptions: SELinuxOption | undefined;
  readonly runAsUser: Int64Value | undefined;
  readonly runAsGroup: Int64Value | undefined;
  readonly supplementalGroups: readonly bigint[];
  readonly supplementalGroupsPolicy: SupplementalGroupsPolicy;
  readonly seccomp: SecurityProfile | undefined;
  readonly apparmor: SecurityProfile | undefined;
}

export function validateSharedSecurity(field: string, context: SharedSecurityContext): void {
  validateNamespaces(`${field}.namespace_options`, context.namespaceOptions);
  validateId(`${field}.run_as_user`, context.runAsUser);
  validateId(`${field}.run_as_group`, context.runAsGroup);
  checkEach(
    `${field}.supplemental_groups`,
    context.supplementalGroups,
    LIMITS.groups,
    (name, group) => checkRange(name, group, ID_RANGE),
  );
  checkEnum(
    `${field}.supplemental_groups_policy`,
    context.supplementalGroupsPolicy,
    SupplementalGroupsPolicy,
  );
  validateProfile(`${field}.seccomp`, context.seccomp);
  validateProfile(`${field}.apparmor`, context.apparmor);
  validateSelinux(`${field}.selinux_options`, context.selinuxOptions);
}

function validateId(field: string, id: Int64Value | undefined): void {
  if (id !== undefined) checkRange(`${field}.value`, id.value, ID_RANGE);
}

function validateNamespaces(field: string, options: NamespaceOption | undefined): void {
  if (options === undefined) return;
  checkEnum(`${field}.network`, options.network, NamespaceMode);
  checkEnum(`${field}.pid`, options.pid, NamespaceMode);
  checkEnum(`${field}.ipc`, options.ipc, NamespaceMode);
  checkLength(`${field}.target_id`, options.targetId, LIMITS.id);
  checkNoControl(`${field}.target_id`, options.targetId);
  // The CRI gives these two meanings for the PID namespace only.
  for (const kind of ["network", "ipc"] as const) {
    const mode = options[kind];
    if (mode === NamespaceMode.CONTAINER || mode === NamespaceMode.TARGET) {
      refuse(`${field}.${kind}`, "is a mode of the PID namespace only", {
        value: NamespaceMode[mode],
        remedy: "use POD or NODE",
      });
    }
  }
  if (options.pid === NamespaceMode.TARGET && options.targetId === "") {
    refuse(`${field}.target_id`, "is missing", {
      remedy: "name the container whose PID namespace is shared",
    });
  }
  if (options.pid !== NamespaceMode.TARGET && options.targetId !== "") {
    refuse(`${field}.target_id`, "is set although pid is not TARGET", {
      value: options.targetId,
      remedy: "clear it or use TARGET",
    });
  }
  const userns = options.usernsOptions;
  if (userns === undefined) return;
  checkEnum(`${field}.userns_options.mode`, userns.mode, NamespaceMode);
  if (userns.mode !== NamespaceMode.POD && userns.mode !== NamespaceMode.NODE) {
    refuse(`${field}.userns_options.mode`, "is no mode of a user namespace", {
      value: NamespaceMode[userns.mode] ?? String(userns.mode),
      remedy: "use POD or NODE",
    });
  }
  if (userns.mode === NamespaceMode.NODE && userns.uids.length + userns.gids.length > 0) {
    refuse(`${field}.userns_options`, "maps ids although the mode is NODE", {
      remedy: "leave out uids and gids, or use POD",
    });
  }
}

function validateProfile(field: string, profile: SecurityProfile | undefined): void {
  if (profile === undefined) return;
  checkEnum(`${field}.profile_type`, profile.profileType, ProfileType);
  checkLength(`${field}.localhost_ref`, profile.localhostRef, LIMITS.path);
  checkNoControl(`${field}.localhost_ref`, profile.localhostRef);
  const localhost = profile.profileType === ProfileType.Localhost;
  if (localhost && profile.localhostRef === "") {
    refuse(`${field}.localhost_ref`, "is missing", { remedy: "name the profile" });
  }
  if (!localhost && profile.localhostRef !== "") {
    refuse(`${field}.localhost_ref`, "is set although the profile type is not Localhost", {
      value: profile.localhostRef,
      remedy: "clear it or use Localhost",
    });
  }
}

function validateSelinux(field: string, options: SELinuxOption | undefined): void {
  if (options === undefined) return;
  for (const part of ["user", "role", "type", "level"] as const) {
    checkLength(`${field}.${part}`, options[part], LIMITS.name);
    checkNoControl(`${field}.${part}`, options[part]);
  }
}

export function validateMountPaths(field: string, paths: readonly string[]): void {
  checkEach(
    field,
    paths,
    LIMITS.maskedPaths,
    (name, path) => checkAbsolutePath(name, path, LIMITS.path),
  );
}
