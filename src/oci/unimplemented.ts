/** Fields of a container request that nothing acts on yet: refused by name, never ignored. @module */
import { FailedPreconditionError, UnimplementedError } from "../errors/mod.ts";
import { type ContainerConfig, NamespaceMode, type SELinuxOption } from "../proto/mod.ts";

/** @throws {UnimplementedError} naming the first field that would have no effect */
export function refuseUnimplemented(container: ContainerConfig, node: { seLinux: boolean }): void {
  const security = container.linux?.securityContext;
  const refuse = (given: boolean, field: string, what: string) => {
    if (given) {
      throw new UnimplementedError(`${what} is not implemented`, { field: `config.${field}` });
    }
  };
  refuse(container.windows !== undefined, "windows", "A Windows configuration");
  refuse(container.CDIDevices.length > 0, "CDI_devices", "Device injection by CDI");
  for (const mount of container.mounts) {
    refuse(mount.image !== undefined, "mounts.image", "An image as a volume");
    refuse(mount.imageSubPath !== "", "mounts.image_sub_path", "An image as a volume");
    refuse(mount.uidMappings.length > 0, "mounts.uidMappings", "An ID-mapped mount");
    refuse(mount.gidMappings.length > 0, "mounts.gidMappings", "An ID-mapped mount");
  }
  const userns = security?.namespaceOptions?.usernsOptions;
  refuse(
    userns !== undefined && userns.mode !== NamespaceMode.NODE,
    "linux.security_context.namespace_options.userns_options",
    "A user namespace",
  );
  refuseSELinux(security?.selinuxOptions, node.seLinux);
}

function refuseSELinux(options: SELinuxOption | undefined, present: boolean): void {
  if (options === undefined) return;
  const { user, role, type, level } = options;
  if (user === "" && role === "" && type === "" && level === "") return;
  const field = "config.linux.security_context.selinux_options";
  if (!present) {
    throw new FailedPreconditionError("SELinux options are given, but this node has no SELinux", {
      field,
    });
  }
  throw new UnimplementedError("SELinux labels are not implemented", { field });
}
