/** AppArmor profiles of this node: which are loaded, and the default one, loaded when it is needed. @module */
import { errorMessage, FailedPreconditionError, shown } from "../errors/mod.ts";
import { DEFAULT_APPARMOR_PROFILE, DEFAULT_APPARMOR_TEXT } from "../oci/mod.ts";
import type { AppArmorProfiles } from "../pod/mod.ts";
import type { ProcessRunner } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

const PROFILES = "/sys/kernel/security/apparmor/profiles";
const PARSERS = ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"];
const PARSE_TIMEOUT_MS = 60_000;
const OUTPUT_LIMIT_BYTES = 64 * 1024;
const UNCONFINED = "unconfined";

export interface NodeAppArmorOptions {
  /** `apparmor_profile`: what RuntimeDefault means. Empty for the built-in one. */
  readonly configured: string;
  readonly runner: ProcessRunner;
  readonly log: Logger;
  /** The kernel's list, and where the parser may be; the node's by default. */
  readonly profilesPath?: string;
  readonly parsers?: readonly string[];
}

export class NodeAppArmor implements AppArmorProfiles {
  readonly #options: NodeAppArmorOptions;
  readonly #parser: string | undefined;
  #loading: Promise<void> | undefined;

  constructor(options: NodeAppArmorOptions) {
    this.#options = options;
    this.#parser = (options.parsers ?? PARSERS).find(isFile);
  }

  /**
   * The profile that RuntimeDefault stands for; null if it can neither be loaded nor is loaded, which
   * pods that ask for it by name are told.
   */
  defaultProfile(): string | null {
    const name = this.#options.configured || DEFAULT_APPARMOR_PROFILE;
    if (name !== DEFAULT_APPARMOR_PROFILE || this.#parser !== undefined) return name;
    if (this.#isLoaded(name)) return name;
    this.#options.log.warn("Containers run without AppArmor unless they name a profile", {
      reason: "there is no apparmor_parser to load the default profile with",
      remedy: "apt-get install apparmor",
    });
    return null;
  }

  async ensure(name: string): Promise<void> {
    if (name === UNCONFINED || this.#isLoaded(name)) return;
    if (name !== DEFAULT_APPARMOR_PROFILE || this.#parser === undefined) throw notLoaded(name);
    // Several containers at once wait for one parser.
    this.#loading ??= this.#load(this.#parser).finally(() => this.#loading = undefined);
    await this.#loading;
  }

  async #load(path: string): Promise<void> {
    const { exitCode, endedBy, stderr } = await this.#options.runner.run({
      path,
      args: ["--replace", "--skip-cache"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      stdin: new TextEncoder().encode(DEFAULT_APPARMOR_TEXT),
      timeoutMs: PARSE_TIMEOUT_MS,
      outputLimitBytes: OUTPUT_LIMIT_BYTES,
    });
    if (exitCode === 0 && this.#isLoaded(DEFAULT_APPARMOR_PROFILE)) {
      this.#options.log.info("Loaded the AppArmor profile", { profile: DEFAULT_APPARMOR_PROFILE });
      return;
    }
    const words = new TextDecoder().decode(stderr).trim();
    throw new FailedPreconditionError(
      `AppArmor profile ${DEFAULT_APPARMOR_PROFILE} could not be loaded: ${
        words || `${path} ended with ${exitCode ?? endedBy}`
      }`,
      { path },
    );
  }

  /** @throws {FailedPreconditionError} the kernel's list cannot be read */
  #isLoaded(name: string): boolean {
    const path = this.#options.profilesPath ?? PROFILES;
    let text: string;
    try {
      text = Deno.readTextFileSync(path);
    } catch (cause) {
      throw new FailedPreconditionError(
        `The list of AppArmor profiles cannot be read: ${errorMessage(cause)}`,
        { path, cause, remedy: "mount -t securityfs securityfs /sys/kernel/security" },
      );
    }
    return text.split("\n").some((line) => line.replace(/ \([a-z]+\)$/, "") === name);
  }
}

function notLoaded(name: string): FailedPreconditionError {
  return new FailedPreconditionError(`AppArmor profile ${shown(name)} is not loaded`, {
    field: "config.linux.security_context.apparmor",
    value: name,
    remedy: "load it on this node with apparmor_parser",
  });
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
