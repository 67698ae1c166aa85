/** The streaming server by its configuration keys. @module */
import { isIP } from "node:net";
import { type Configuration, parseDuration } from "../config/mod.ts";
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import type { Clock } from "../model/mod.ts";
import type { StreamService } from "../pod/mod.ts";
import { DEFAULT_IDLE_TIMEOUT_MS, StreamingServer, type TlsOptions } from "../streaming/mod.ts";
import { hostAddress, servicePort } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Machine } from "./node.ts";

type Api = Configuration["api"];

export interface StreamingOptions {
  readonly api: Api;
  readonly service: StreamService;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * @throws {InvalidArgumentError} keys of TLS that do not fit together
 * @throws {FailedPreconditionError} a certificate or key is of no use, or no service has the port's name
 * @throws {UnavailableError} the address or port cannot be had
 */
export async function openStreaming(
  { api, service, machine, clock, log }: StreamingOptions,
): Promise<StreamingServer> {
  return await StreamingServer.listen({
    address: await streamAddress(api.stream_address, hostAddress),
    port: await streamPort(api.stream_port, (name) => servicePort(name, "tcp")),
    tls: api.stream_enable_tls ? tlsOptions(api, log) : undefined,
    idleTimeoutMs: idleTimeoutMs(api.stream_idle_timeout),
    service,
    fileWatcher: machine.fileWatcher,
    kernel: machine.kernel,
    descriptors: machine.descriptors,
    clock,
    log,
  });
}

/**
 * @param configured an IP address; anything else, also nothing, is the host's own, as in CRI-O
 * @throws {FailedPreconditionError} the host has none
 */
export async function streamAddress(
  configured: string,
  lookUp: () => Promise<string | undefined>,
): Promise<string> {
  // One with a zone, such as fe80::1%eth0, cannot be in a URL for clients.
  if (isIP(configured) !== 0 && !configured.includes("%")) return configured;
  const address = await lookUp();
  if (address !== undefined) return address;
  throw new FailedPreconditionError(
    `stream_address ${
      shown(configured)
    } is no IP address, and this host has no default route by which to choose one`,
    { field: "api.stream_address", value: configured, remedy: "give an IP address of this host" },
  );
}

/**
 * @param configured a number, or the name of a service; empty is 0, as in CRI-O
 * @throws {FailedPreconditionError} the node knows no such service
 */
export async function streamPort(
  configured: string,
  lookUp: (name: string) => Promise<number | undefined>,
): Promise<number> {
  if (/^\d*$/.test(configured)) return Number(configured);
  const port = await lookUp(configured);
  if (port !== undefined) return port;
  throw new FailedPreconditionError(
    `No TCP service of this node is called ${shown(configured)}, as stream_port says`,
    { field: "api.stream_port", value: configured, remedy: "give its number, or 0 for a free one" },
  );
}

function tlsOptions(api: Api, log: Logger): TlsOptions {
  const minVersion = api.tls_min_version === "VersionTLS13" ? "VersionTLS13" : "VersionTLS12";
  if (minVersion === "VersionTLS13" && api.tls_cipher_suites.length > 0) {
    log.warn("tls_cipher_suites has no effect: suites of TLS 1.3 cannot be chosen", {
      key: "api.tls_cipher_suites",
    });
  }
  return {
    certificatePath: api.stream_tls_cert,
    keyPath: api.stream_tls_key,
    clientAuthorityPath: api.stream_tls_ca,
    minVersion,
    cipherSuites: minVersion === "VersionTLS13" ? [] : api.tls_cipher_suites,
  };
}

/** 0, as in the kubelet's streaming library, is no time-out. */
export function idleTimeoutMs(configured: string): number {
  return configured === ""
    ? DEFAULT_IDLE_TIMEOUT_MS
    : Math.max(0, parseDuration(configured) ?? DEFAULT_IDLE_TIMEOUT_MS);
}
