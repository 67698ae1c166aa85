/**
 * The door of `runtime/`: containers under an OCI runtime, watched by conmon.
 *
 * @module
 */
export type {
  AttachRequest,
  ContainerExit,
  ContainerPlace,
  ContainerRuntime,
  CreatedContainer,
  CreateOptions,
  ExecRequest,
  ExecResult,
  ExecStreamRequest,
  PidHolderPlace,
  RuntimeHandlerInfo,
} from "./containers_runtime.ts";
export { type ContainerLimits, type LimitsAsked, NO_LIMIT } from "./cgroup_limits.ts";
export type { RuntimeHandlerOptions, RuntimeOptions } from "./handlers.ts";
export { findPidHolder, PID_HOLDER_PACKAGE, requirePidHolder } from "./pid_holder_program.ts";
export type { RecordedContainer } from "./container_removal.ts";
export { type HandlerReport, OciRuntime, type RuntimePorts } from "./oci_runtime.ts";
