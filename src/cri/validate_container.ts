/**
 * What a container's configuration must be before anything is done with it.
 *
 * @module
 */
import {
  type Capability,
  type ContainerConfig,
  type CreateContainerRequest,
  type Device,
  type IDMapping,
  type KeyValue,
  type LinuxContainerConfig,
  type LinuxContainerSecurityContext,
  type Mount,
  MountPropagation,
  Signal,
} from "../proto/mod.ts";
import {
  checkAbsolutePath,
  checkEach,
  checkEnum,
  checkLength,
  checkName,
  checkNoControl,
  checkNoNul,
  checkPath,
  checkRelativePath,
  checkSize,
  refuse,
  required,
  utf8Bytes,
} from "./field_checks.ts";
import { LIMITS } from "./limits.ts";
import { validateId, validateImageSpec } from "./validate_references.ts";
import { validateResources } from "./validate_resources.ts";
import { validateLabels } from "./validate_sandbox.ts";
import { validateMountPaths, validateSharedSecurity } from "./validate_security.ts";

/** @returns the configuration, which a valid request has */
export function validateCreateContainer(request: CreateContainerRequest): ContainerConfig {
  validateId("pod_sandbox_id", request.podSandboxId);
  const config = required("config", request.config);
  validateContainerConfig("config", config);
  return config;
}

/** @throws {InvalidArgumentError} a rule is broken; @throws {ResourceExhaustedError} a limit */
export function validateContainerConfig(field: string, config: ContainerConfig): void {
  const metadata = required(`${field}.metadata`, config.metadata);
  checkName(`${field}.metadata.name`, metadata.name, LIMITS.name);
  validateImageSpec(`${field}.image`, config.image);
  // The kernel holds them to one limit together, and so do we.
  const argumentBytes = validateArguments(`${field}.command`, config.command) +
    validateArguments(`${field}.args`, config.args) +
    validateEnvironment(`${field}.envs`, config.envs);
  checkSize(`${field}.command with args and envs`, argumentBytes, LIMITS.argumentBytes);
  if (config.workingDir !== "") {
    checkAbsolutePath(`${field}.working_dir`, config.workingDir, LIMITS.path);
  }
  checkEach(`${field}.mounts`, config.mounts, LIMITS.mounts, validateMount);
  checkEach(`${field}.devices`, config.devices, LIMITS.devices, validateDevice);
  checkEach(`${field}.CDI_devices`, config.CDIDevices, LIMITS.devices, (name, device) => {
    required(`${name}.name`, device.name);
    checkLength(`${name}.name`, device.name, LIMITS.name);
    checkNoControl(`${name}.name`, device.name);
  });
  validateLabels(field, config);
  if (config.logPath !== "") checkRelativePath(`${field}.log_path`, config.logPath, LIMITS.path);
  if (config.stdinOnce && !config.stdin) {
    refuse(`${field}.stdin_once`, "is set although stdin is not", { remedy: "set stdin as well" });
  }
  checkEnum(`${field}.stop_signal`, config.stopSignal, Signal);
  validateLinux(`${field}.linux`, config.linux);
}

/** A command line, of a container or of an exec. @returns its size in bytes */
export function validateArguments(field: string, args: readonly string[]): number {
  let total = 0;
  checkEach(field, args, LIMITS.argumentCount, (name, text) => {
    checkLength(name, text, LIMITS.argument);
    checkNoNul(name, text);
    total += utf8Bytes(text);
  });
  checkSize(field, total, LIMITS.argumentBytes);
  return total;
}

/** @returns the size of all in bytes */
function validateEnvironment(field: string, envs: readonly KeyValue[]): number {
  let total = 0;
  checkEach(field, envs, LIMITS.argumentCount, (name, { key, value }) => {
    required(`${name}.key`, key);
    checkNoControl(`${name}.key`, key);
    if (key.includes("=")) {
      refuse(`${name}.key`, "has an equals sign", {
        value: key,
        remedy: "name the variable alone",
      });
    }
    if (value.includes(0)) refuse(`${name}.value`, "has a NUL", { remedy: "remove the NUL" });
    const size = utf8Bytes(key) + value.length;
    checkSize(name, size + 1, LIMITS.argument);
    total += size;
  });
  checkSize(field, total, LIMITS.argumentBytes);
  return total;
}

function validateMount(field: string, mount: Mount): void {
  checkAbsolutePath(`${field}.container_path`, mount.containerPath, LIMITS.path);
  checkEnum(`${field}.propagation`, mount.propagation, MountPropagation);
  if (mount.image === undefined) {
    checkAbsolutePath(`${field}.host_path`, mount.hostPath, LIMITS.path);
    if (mount.imageSubPath !== "") {
      refuse(`${field}.image_sub_path`, "is set although the mount has no image", {
        value: mount.imageSubPath,
      });
    }
  } else {
    validateImageSpec(`${field}.image`, mount.image);
    if (mount.hostPath !== "") {
      refuse(`${field}.host_path`, "is set although the mount has an image", {
        value: mount.hostPath,
      });
    }
    checkRelativeDirectory(`${field}.image_sub_path`, mount.imageSubPath);
  }
  validateMappings(`${field}.uidMappings`, mount.uidMappings);
  validateMappings(`${field}.gidMappings`, mount.gidMappings);
  if (mount.recursiveReadOnly && !mount.readonly) {
    refuse(`${field}.recursive_read_only`, "is set although readonly is not", {
      remedy: "set readonly as well",
    });
  }
  if (mount.recursiveReadOnly && mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    refuse(`${field}.recursive_read_only`, "needs private propagation", {
      value: MountPropagation[mount.propagation] ?? "",
      remedy: "use PROPAGATION_PRIVATE",
    });
  }
  checkEach(`${field}.mount_options`, mount.mountOptions, LIMITS.mountOptions, (name, option) => {
    if (!["noexec", "nodev", "nosuid"].includes(option)) {
      refuse(name, "is no mount option that a request may add", {
        value: option,
        remedy: "use noexec, nodev or nosuid",
      });
    }
  });
}

function checkRelativeDirectory(field: string, path: string): void {
  checkPath(field, path, LIMITS.path);
  if (path.startsWith("/")) refuse(field, "is an absolute path", { value: path });
}

function validateMappings(field: string, mappings: readonly IDMapping[]): void {
  checkEach(field, mappings, LIMITS.idMappings, (name, { hostId, containerId, length }) => {
    const end = 2 ** 32 - 1;
    if (length === 0 || hostId + length > end || containerId + length > end) {
      refuse(name, "is an empty range or leaves the range of ids", {
        value: `${containerId}:${hostId}:${length}`,
      });
    }
  });
}

const PERMISSIONS = /^(?!.*(.).*\1)[rwm]{1,3}$/;

function validateDevice(field: string, device: Device): void {
  checkAbsolutePath(`${field}.host_path`, device.hostPath, LIMITS.path);
  if (device.containerPath !== "") {
    checkAbsolutePath(`${field}.container_path`, device.containerPath, LIMITS.path);
  }
  if (!PERMISSIONS.test(device.permissions)) {
    refuse(`${field}.permissions`, "is not a set of permissions", {
      value: device.permissions,
      remedy: "use the letters r, w and m, each once",
    });
  }
}

function validateLinux(field: string, linux: LinuxContainerConfig | undefined): void {
  if (linux === undefined) return;
  validateResources(`${field}.resources`, linux.resources);
  if (linux.securityContext !== undefined) {
    validateSecurity(`${field}.security_context`, linux.securityContext);
  }
}

function validateSecurity(field: string, context: LinuxContainerSecurityContext): void {
  validateSharedSecurity(field, context);
  checkLength(`${field}.run_as_username`, context.runAsUsername, LIMITS.userName);
  checkNoControl(`${field}.run_as_username`, context.runAsUsername);
  if (
    context.runAsGroup !== undefined && context.runAsUser === undefined &&
    context.runAsUsername === ""
  ) {
    refuse(`${field}.run_as_group`, "is set although no user is", {
      remedy: "set run_as_user or run_as_username as well",
    });
  }
  validateMountPaths(`${field}.masked_paths`, context.maskedPaths);
  validateMountPaths(`${field}.readonly_paths`, context.readonlyPaths);
  validateCapabilities(`${field}.capabilities`, context.capabilities);
}

/** With or without `CAP_`, in any case; which of them exist is for the spec builder to say. */
const CAPABILITY = /^[A-Za-z_]{1,40}$/;

function validateCapabilities(field: string, capabilities: Capability | undefined): void {
  if (capabilities === undefined) return;
  const lists = {
    add_capabilities: capabilities.addCapabilities,
    drop_capabilities: capabilities.dropCapabilities,
    add_ambient_capabilities: capabilities.addAmbientCapabilities,
  };
  for (const [list, names] of Object.entries(lists)) {
    checkEach(`${field}.${list}`, names, LIMITS.capabilities, (name, capability) => {
      if (!CAPABILITY.test(capability)) {
        refuse(name, "is not a capability", { value: capability, remedy: "write it as NET_ADMIN" });
      }
    });
  }
}
