/**
 * What a pod sandbox's configuration must be before anything is done with it.
 *
 * @module
 */
import { isIP } from "node:net";
import {
  type DNSConfig,
  type LinuxPodSandboxConfig,
  NamespaceMode,
  type PodSandboxConfig,
  type PodSandboxMetadata,
  type PortMapping,
  Protocol,
  type RunPodSandboxRequest,
} from "../proto/mod.ts";
import {
  checkAbsolutePath,
  checkEach,
  checkEnum,
  checkLength,
  checkMap,
  checkName,
  checkNoControl,
  checkPath,
  checkRange,
  checkSize,
  refuse,
  required,
} from "./field_checks.ts";
import { LIMITS } from "./limits.ts";
import { validateResources } from "./validate_resources.ts";
import { validateSharedSecurity } from "./validate_security.ts";

/** @returns the configuration, which a valid request has */
export function validateRunPodSandbox(request: RunPodSandboxRequest): PodSandboxConfig {
  validateHandler("runtime_handler", request.runtimeHandler);
  const config = required("config", request.config);
  validateSandboxConfig("config", config);
  return config;
}

/** @throws {InvalidArgumentError} a rule is broken; @throws {ResourceExhaustedError} a limit */
export function validateSandboxConfig(field: string, config: PodSandboxConfig): void {
  validateMetadata(`${field}.metadata`, required(`${field}.metadata`, config.metadata));
  validateHostname(`${field}.hostname`, config.hostname);
  if (config.logDirectory !== "") {
    checkAbsolutePath(`${field}.log_directory`, config.logDirectory, LIMITS.path);
  }
  validateDns(`${field}.dns_config`, config.dnsConfig);
  checkEach(`${field}.port_mappings`, config.portMappings, LIMITS.portMappings, validatePort);
  validateLabels(field, config);
  validateLinux(`${field}.linux`, config.linux);
}

/** Labels and annotations of a pod or a container. */
export function validateLabels(
  field: string,
  { labels, annotations }: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  },
): void {
  checkMap(`${field}.labels`, labels, { count: LIMITS.labels, entry: LIMITS.label });
  checkMap(`${field}.annotations`, annotations, {
    count: LIMITS.annotations,
    total: LIMITS.annotationBytes,
  });
}

/** A runtime handler's name; empty asks for the default. */
export function validateHandler(field: string, handler: string): void {
  if (handler !== "") checkName(field, handler, LIMITS.name);
}

function validateMetadata(field: string, metadata: PodSandboxMetadata): void {
  checkName(`${field}.name`, metadata.name, LIMITS.name);
  checkName(`${field}.namespace`, metadata.namespace, LIMITS.name);
  checkName(`${field}.uid`, metadata.uid, LIMITS.name);
}

const HOSTNAME = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;

function validateHostname(field: string, hostname: string): void {
  if (hostname === "") return;
  checkLength(field, hostname, LIMITS.hostname);
  if (!HOSTNAME.test(hostname)) {
    refuse(field, "is not a host name", {
      value: hostname,
      remedy: "use letters, digits, hyphens and dots",
    });
  }
}

function validateDns(field: string, dns: DNSConfig | undefined): void {
  if (dns === undefined) return;
  checkEach(`${field}.servers`, dns.servers, LIMITS.dnsEntries, (name, server) => {
    if (isIP(server) === 0) {
      refuse(name, "is not an IP address", { value: server, remedy: "give the server's address" });
    }
  });
  for (const list of ["searches", "options"] as const) {
    checkEach(`${field}.${list}`, dns[list], LIMITS.dnsEntries, (name, entry) => {
      required(name, entry);
      checkLength(name, entry, LIMITS.dnsEntry);
      checkNoControl(name, entry);
      // They stand on one line of resolv.conf, parted by spaces.
      if (/\s/.test(entry)) {
        refuse(name, "has a space", { value: entry, remedy: "make it two entries" });
      }
    });
  }
}

const PORT = { min: 0, max: 65_535 };

function validatePort(field: string, mapping: PortMapping): void {
  checkEnum(`${field}.protocol`, mapping.protocol, Protocol);
  checkRange(`${field}.container_port`, mapping.containerPort, PORT);
  checkRange(`${field}.host_port`, mapping.hostPort, PORT);
  if (mapping.hostPort > 0 && mapping.containerPort === 0) {
    refuse(`${field}.container_port`, "is missing", { remedy: "name the port of the pod" });
  }
  // A zone belongs to an interface, which a rule for an address does not know.
  if (mapping.hostIp !== "" && (isIP(mapping.hostIp) === 0 || mapping.hostIp.includes("%"))) {
    refuse(`${field}.host_ip`, "is not an IP address", {
      value: mapping.hostIp,
      remedy: "give an address of the host, or leave it out for all",
    });
  }
}

/** Dots or slashes part the components; a slash after dots stands for a dot in an interface's name. */
const SYSCTL = /^[A-Za-z0-9_*-]+(?:[./][A-Za-z0-9_*-]+)+$/;

function validateLinux(field: string, linux: LinuxPodSandboxConfig | undefined): void {
  if (linux === undefined) return;
  checkPath(`${field}.cgroup_parent`, linux.cgroupParent, LIMITS.path);
  validateSysctls(`${field}.sysctls`, linux.sysctls);
  validateResources(`${field}.overhead`, linux.overhead);
  validateResources(`${field}.resources`, linux.resources);
  if (linux.securityContext !== undefined) {
    validateSharedSecurity(`${field}.security_context`, linux.securityContext);
    if (linux.securityContext.namespaceOptions?.pid === NamespaceMode.TARGET) {
      refuse(`${field}.security_context.namespace_options.pid`, "is a mode of containers only", {
        value: "TARGET",
        remedy: "use POD, CONTAINER or NODE",
      });
    }
  }
}

function validateSysctls(field: string, sysctls: Readonly<Record<string, string>>): void {
  const all = Object.entries(sysctls);
  checkSize(field, all.length, LIMITS.sysctls);
  for (const [key, value] of all) {
    checkLength(field, key, LIMITS.name);
    if (!SYSCTL.test(key)) {
      refuse(field, "has a key that is no kernel parameter", {
        value: key,
        remedy: "write it as net.ipv4.ip_forward",
      });
    }
    checkLength(`${field}.${key}`, value, LIMITS.sysctl);
    checkNoControl(`${field}.${key}`, value.replaceAll("\t", " "));
  }
}
