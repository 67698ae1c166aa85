/** Container specifications, purely computed. @module */
export { appArmorProfile } from "./apparmor.ts";
export { DEFAULT_APPARMOR_PROFILE, DEFAULT_APPARMOR_TEXT } from "./apparmor_default.ts";
export { refuseActingAnnotations } from "./annotations.ts";
export { parseDeviceAnnotation, requireDeviceEntry } from "./device_entries.ts";
export { imageVolumes } from "./image_volumes.ts";
export { checkedPropagation, type PropagationInputs } from "./mount_propagation.ts";
export { completedGroup, completedPasswd } from "./passwd_entry.ts";
export { hostnameFile, hostsFile, podHostname, resolvConfFile } from "./pod_files.ts";
export { buildPidHolderSpec, type PidHolderInputs } from "./pid_holder_spec.ts";
export { type AnnotationRules, shmSizeWish, wishOf } from "./pod_wishes.ts";
export { processArgs, refuseOpenFiles, workingDirectory } from "./process.ts";
export {
  decodeSpec,
  encodeSpec,
  type RuntimeSpec,
  type SpecInteger,
  specInteger,
  type SpecProcess,
  type SpecRlimit,
  type SpecSeccomp,
} from "./runtime_spec.ts";
export {
  builtinProfile,
  DISTRIBUTION_PROFILE_PATH,
  distributionProfile,
  type FileProfile,
  parseSeccompProfile,
  type SeccompProfile,
} from "./seccomp.ts";
export { type SeccompRequest, seccompRequest } from "./seccomp_request.ts";
export { sharesOfWeight } from "./cpu_weight.ts";
export {
  buildResourceUpdate,
  type ResourceUpdate,
  type ResourceUpdateInputs,
} from "./resource_update.ts";
export { stopSignalOf } from "./signals.ts";
export { buildSpec } from "./spec_builder.ts";
export { specWarnings } from "./spec_warnings.ts";
export type {
  BoundVolume,
  DeviceNode,
  NamespaceChoice,
  NodeFacts,
  ResolvedDevice,
  ResolvedMount,
  SpecDefaults,
  SpecFiles,
  SpecInputs,
  SpecNamespaces,
  SpecRecord,
} from "./spec_inputs.ts";
export { type PodSysctls, podSysctls, type SysctlInputs } from "./sysctls.ts";
export { refuseUnsupportedContainer, refuseUnsupportedSandbox } from "./unsupported_fields.ts";
export { type ResolvedUser, resolveUser, type UserRequest, userRequest } from "./user.ts";
