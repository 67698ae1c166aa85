/** Running one CNI plugin (specification section 2): environment, standard input, output, failures. @module */
import {
  CancelledError,
  DeadlineExceededError,
  errorMessage,
  NotFoundError,
  UnavailableError,
} from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { CommandResult, ProcessRunner } from "../sys/process_runner.ts";
import { parseErrorMessage, printable } from "./cni_result.ts";
import type { PluginPaths } from "./plugin_paths.ts";
import { SYSTEM_PATH } from "../sys/programs.ts";

/** Commands about one attachment. */
export type AttachmentCommand = "ADD" | "CHECK" | "DEL";
/** Commands about a network, or about the plugin itself. */
export type NetworkCommand = "STATUS" | "GC" | "VERSION";

interface Invocation {
  /** Network's name, for messages. */
  readonly network: string;
  /** Type of the plugin. */
  readonly plugin: string;
  /** The plugin's complete configuration, written to its standard input. */
  readonly configuration: JsonObject;
}

export interface AttachmentInvocation extends Invocation {
  readonly command: AttachmentCommand;
  readonly containerId: string;
  /** Empty if the namespace is gone, for DEL. */
  readonly netnsPath: string;
  /** `KEY=VALUE;...`. */
  readonly args: string;
}

export interface NetworkInvocation extends Invocation {
  readonly command: NetworkCommand;
}

export type CniInvocation = AttachmentInvocation | NetworkInvocation;

/** Interface inside the pod. */
export const CNI_INTERFACE = "eth0";
const OUTPUT_LIMIT_BYTES = 1024 * 1024;
/** The caller's signal comes first; this ends a plugin whose caller has none. */
const LONGEST_MS = 10 * 60 * 1000;

export class CniExec {
  readonly #runner: ProcessRunner;
  readonly #paths: PluginPaths;

  constructor(runner: ProcessRunner, paths: PluginPaths) {
    this.#runner = runner;
    this.#paths = paths;
  }

  /**
   * Runs the plugin and returns what it printed.
   *
   * @throws {UnavailableError} it is missing, failed, crashed or printed too much: names it and its network
   * @throws {DeadlineExceededError} `signal` fired; the plugin and its children have been killed
   */
  async run(invocation: CniInvocation, signal: AbortSignal): Promise<string> {
    const { command, network, plugin } = invocation;
    const what = `CNI plugin "${plugin}" of network "${network}"`;
    const path = await this.#paths.find(plugin);
    if (path === undefined) throw this.#missing(what);
    let result: CommandResult;
    try {
      result = await this.#runner.run({
        path,
        args: [],
        env: {
          CNI_COMMAND: command,
          ...("containerId" in invocation ? attachmentEnvironment(invocation) : {}),
          CNI_PATH: this.#paths.dirs.join(":"),
          // Plugins call iptables, nft, ip and modprobe by name.
          PATH: SYSTEM_PATH,
        },
        cwd: "/",
        stdin: new TextEncoder().encode(JSON.stringify(invocation.configuration)),
        timeoutMs: LONGEST_MS,
        outputLimitBytes: OUTPUT_LIMIT_BYTES,
        signal,
      });
    } catch (cause) {
      if (cause instanceof NotFoundError) throw this.#missing(what, cause);
      if (cause instanceof CancelledError || cause instanceof DeadlineExceededError) {
        throw new DeadlineExceededError(`${what} did not finish ${command} in time`, {
          path,
          remedy: "see the plugin's own log, and whether what it waits for answers",
          cause,
        });
      }
      throw new UnavailableError(`${what} could not be run: ${errorMessage(cause)}`, {
        path,
        cause,
      });
    }
    const stdout = new TextDecoder().decode(result.stdout);
    const problem = problemOf(result, stdout);
    if (problem !== undefined) {
      throw new UnavailableError(`${what} failed at ${command}: ${problem}`, { path });
    }
    return stdout;
  }

  #missing(what: string, cause?: unknown): UnavailableError {
    const dirs = this.#paths.dirs.join(", ");
    return new UnavailableError(`${what} is missing: it is in none of ${dirs}`, {
      remedy: "install it there, or add its directory to plugin_dirs",
      cause,
    });
  }
}

function attachmentEnvironment(invocation: AttachmentInvocation): Record<string, string> {
  return {
    CNI_CONTAINERID: invocation.containerId,
    CNI_NETNS: invocation.netnsPath,
    CNI_IFNAME: CNI_INTERFACE,
    CNI_ARGS: invocation.args,
  };
}

function problemOf(result: CommandResult, stdout: string): string | undefined {
  if (result.endedBy !== null) return `it was ended by ${result.endedBy}`;
  if (result.exitCode !== 0) {
    const stderr = printable(new TextDecoder().decode(result.stderr));
    return parseErrorMessage(stdout) ??
      `exit status ${result.exitCode}${stderr === "" ? "" : `: ${stderr}`}`;
  }
  return result.truncated ? `it printed more than ${OUTPUT_LIMIT_BYTES} bytes` : undefined;
}
