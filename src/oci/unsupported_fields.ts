/**
 * Request fields that are known and valid but not built yet. A request that uses one is refused by
 * name, before anything is made: running a pod without the isolation or the device it asked for would
 * be worse. No specification is built of one either. Building a feature removes its row.
 *
 * @module
 */
import { UnimplementedError } from "../errors/mod.ts";
import {
  type ContainerConfig,
  NamespaceMode,
  type NamespaceOption,
  type PodSandboxConfig,
  type SELinuxOption,
} from "../proto/mod.ts";

/** One thing that a `Subject` may ask for. */
interface UnsupportedField<Subject> {
  /** Dotted, below the message that the table is for. */
  readonly field: string;
  /** True if the request asks for it. */
  readonly used: (subject: Subject) => boolean;
  readonly remedy: string;
}

/** What the tables read of a sandbox's and of a container's security context. */
interface SecuritySubject {
  readonly namespaceOptions: NamespaceOption | undefined;
  readonly selinuxOptions: SELinuxOption | undefined;
}

const SECURITY: readonly UnsupportedField<SecuritySubject>[] = [
  {
    field: "namespace_options.userns_options",
    used: ({ namespaceOptions: o }) =>
      (o?.usernsOptions?.mode ?? NamespaceMode.NODE) !== NamespaceMode.NODE,
    remedy: "use NODE (hostUsers: true); user namespaces come later",
  },
  {
    field: "selinux_options",
    used: ({ selinuxOptions: o }) =>
      o !== undefined && [o.user, o.role, o.type, o.level].some((part) => part !== ""),
    remedy: "leave seLinuxOptions out; SELinux comes later",
  },
];

const SANDBOX: readonly UnsupportedField<PodSandboxConfig>[] = [
  { field: "windows", used: (c) => c.windows !== undefined, remedy: "this is a Linux runtime" },
];

const CONTAINER: readonly UnsupportedField<ContainerConfig>[] = [
  { field: "windows", used: (c) => c.windows !== undefined, remedy: "this is a Linux runtime" },
  {
    field: "CDI_devices",
    used: (c) => c.CDIDevices.length > 0,
    remedy: "leave them out; the Container Device Interface comes later",
  },
  {
    field: "mounts.image",
    used: (c) => c.mounts.some(({ image }) => image !== undefined),
    remedy: "leave the image volume out; it comes later",
  },
  {
    field: "mounts.image_sub_path",
    used: (c) => c.mounts.some(({ imageSubPath }) => imageSubPath !== ""),
    remedy: "leave it out; image volumes come later",
  },
  {
    field: "mounts.uidMappings",
    used: (c) => c.mounts.some(({ uidMappings }) => uidMappings.length > 0),
    remedy: "leave them out; ID-mapped mounts come with user namespaces",
  },
  {
    field: "mounts.gidMappings",
    used: (c) => c.mounts.some(({ gidMappings }) => gidMappings.length > 0),
    remedy: "leave them out; ID-mapped mounts come with user namespaces",
  },
];

/** @throws {UnimplementedError} the configuration uses a field that is not built yet; names it */
export function refuseUnsupportedSandbox(field: string, config: PodSandboxConfig): void {
  refuse(field, config, SANDBOX);
  const context = config.linux?.securityContext;
  if (context !== undefined) refuse(`${field}.linux.security_context`, context, SECURITY);
}

/** @throws {UnimplementedError} as {@link refuseUnsupportedSandbox} */
export function refuseUnsupportedContainer(field: string, config: ContainerConfig): void {
  refuse(field, config, CONTAINER);
  const context = config.linux?.securityContext;
  if (context !== undefined) refuse(`${field}.linux.security_context`, context, SECURITY);
}

function refuse<Subject>(
  base: string,
  subject: Subject,
  table: readonly UnsupportedField<Subject>[],
): void {
  for (const { field, used, remedy } of table) {
    if (!used(subject)) continue;
    throw new UnimplementedError(`${base}.${field} is not implemented yet as requested`, {
      field: `${base}.${field}`,
      remedy,
    });
  }
}
