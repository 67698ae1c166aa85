/** Which server a command talks to. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import {
  defaultConfiguration,
  loadConfiguration,
  localNode,
  parseDuration,
} from "../config/mod.ts";
import type { Invocation } from "./command.ts";

const DEFAULT_TIMEOUT_MS = 120_000;

/**
 * Path of the socket: `--socket`, else SAUROPOD_ENDPOINT, else CONTAINER_RUNTIME_ENDPOINT, else what
 * the default configuration file says.
 *
 * @throws {InvalidArgumentError} it is no path of a unix socket
 */
export async function socketOf(
  invocation: Invocation,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const given = invocation.text("socket") ?? invocation.text("runtime-endpoint") ??
    (env.SAUROPOD_ENDPOINT || env.CONTAINER_RUNTIME_ENDPOINT);
  if (given === undefined || given === "") return await configuredSocket();
  const path = given.replace(/^unix:(\/\/)?(?=\/)/, "");
  if (!path.startsWith("/")) {
    throw new InvalidArgumentError(`Cannot connect to ${shown(given)}: it is no absolute path`, {
      field: "socket",
      value: given,
      remedy: "give the path of a unix socket, such as /run/sauropod/sauropod.sock",
    });
  }
  return path;
}

/** A broken file is the server's matter; a client then tries the default. */
async function configuredSocket(): Promise<string> {
  try {
    const loaded = await loadConfiguration({ node: localNode(undefined) });
    return loaded.configuration.api.listen;
  } catch {
    return defaultConfiguration().api.listen;
  }
}

/** @throws {InvalidArgumentError} `--timeout` is no duration */
export function timeoutOf(invocation: Invocation): number {
  const text = invocation.text("timeout");
  if (text === undefined) return DEFAULT_TIMEOUT_MS;
  const millis = parseDuration(/^\d+$/.test(text) ? `${text}s` : text);
  if (millis === undefined || millis < 0) {
    throw new InvalidArgumentError(`--timeout ${shown(text)} is no duration`, {
      field: "timeout",
      value: text,
      remedy: "give a time such as 30s, or 0s for no limit",
    });
  }
  return millis;
}
