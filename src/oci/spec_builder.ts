/**
 * A container's OCI runtime specification, from the request, the image and the node, purely: the
 * whole security posture can be read here and in the golden files beside the test.
 *
 * @module
 */
import { buildAnnotations, refuseActingAnnotations } from "./annotations.ts";
import { buildDevices } from "./devices.ts";
import { buildResources } from "./linux_resources.ts";
import { buildKernelPaths } from "./masked_paths.ts";
import { buildMounts, isRootReadOnly } from "./mounts.ts";
import { buildNamespaces } from "./namespaces.ts";
import { buildProcess } from "./process.ts";
import { unifiedWish } from "./pod_wishes.ts";
import type { RuntimeSpec } from "./runtime_spec.ts";
import { buildSeccomp } from "./seccomp.ts";
import { effectiveSeccomp } from "./seccomp_request.ts";
import type { SpecInputs } from "./spec_inputs.ts";
import { refuseUnsupportedContainer } from "./unsupported_fields.ts";

/**
 * @throws {InvalidArgumentError} a field of the request is wrong; names it
 * @throws {FailedPreconditionError} the node cannot give what is asked for
 * @throws {UnimplementedError} a field has no effect yet; names it
 */
export function buildSpec(inputs: SpecInputs): RuntimeSpec {
  const { container, node } = inputs;
  refuseUnsupportedContainer("config", container);
  const { annotations } = inputs.sandbox;
  const wishes = inputs.defaults.annotations;
  refuseActingAnnotations({ ...annotations, ...container.annotations }, wishes);
  const security = container.linux?.securityContext;
  const process = buildProcess(inputs);
  const { mounts, rootfsPropagation } = buildMounts(inputs);
  const { devices, rules } = buildDevices(inputs);
  const seccomp = buildSeccomp({
    request: effectiveSeccomp(security, inputs.seccomp.privileged),
    available: node.seccomp,
    runtimeDefault: inputs.seccomp.runtimeDefault,
    localhost: security?.privileged ? inputs.seccomp.privileged?.profile : inputs.seccomp.localhost,
    architecture: node.architecture,
    capabilities: process.capabilities.bounding,
  });
  const resources = buildResources({
    request: container.linux?.resources,
    node,
    defaults: inputs.defaults,
    annotated: unifiedWish(annotations, wishes, {
      container: container.metadata?.name ?? "",
      cgroupVersion: node.cgroupVersion,
    }),
  });
  return {
    ociVersion: "1.0.2",
    process,
    root: { path: inputs.rootfs, readonly: isRootReadOnly(inputs) },
    // In the host's UTS namespace the name is not ours to set.
    ...(inputs.namespaces.uts.kind === "host" ? {} : { hostname: inputs.hostname }),
    mounts,
    annotations: buildAnnotations(inputs),
    linux: {
      namespaces: buildNamespaces({
        namespaces: inputs.namespaces,
        cgroupVersion: node.cgroupVersion,
        privileged: security?.privileged ?? false,
      }),
      cgroupsPath: inputs.cgroupPath,
      resources: { devices: rules, ...resources },
      ...(devices.length === 0 ? {} : { devices }),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...buildKernelPaths(security, node.thermalThrottlePaths),
      ...(rootfsPropagation === undefined ? {} : { rootfsPropagation }),
    },
  };
}
