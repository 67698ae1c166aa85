/**
 * Seccomp profiles: for RuntimeDefault the handler's, else `seccomp_profile`, else the distribution's, else
 * the one built in; and that of privileged containers.
 *
 * @module
 */
import type { Configuration, ConfigurationPart } from "../config/mod.ts";
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { distributionProfile, parseSeccompProfile, type SeccompProfile } from "../oci/mod.ts";
import type { BundleOptions } from "../pod/mod.ts";

type SeccompProfiles = BundleOptions["seccomp"];

const SECCOMP_FILE_LIMIT_BYTES = 1024 * 1024;
/** Where the distribution's profile for RuntimeDefault lies. */
const DISTRIBUTION_PROFILE = "/usr/share/containers/seccomp.json";

/**
 * Seccomp profiles from the files that the configuration names. A reload reads the files again, whether
 * their names have changed or not.
 */
export class LiveSeccompProfiles implements SeccompProfiles, ConfigurationPart {
  #loaded: LoadedProfiles;

  private constructor(loaded: LoadedProfiles) {
    this.#loaded = loaded;
  }

  /** @throws {FailedPreconditionError} a file is missing or no profile */
  static async open(runtime: Configuration["runtime"]): Promise<LiveSeccompProfiles> {
    return new LiveSeccompProfiles(await loadProfiles(runtime));
  }

  get privileged(): SeccompProfiles["privileged"] {
    return this.#loaded.privileged;
  }

  runtimeDefault(handler: string): SeccompProfile | undefined {
    return this.#loaded.ofHandlers.get(handler) ?? this.#loaded.common;
  }

  load(path: string): Promise<SeccompProfile> {
    return loadSeccomp(path);
  }

  async prepare({ runtime }: Configuration): Promise<() => void> {
    const loaded = await loadProfiles(runtime);
    return () => void (this.#loaded = loaded);
  }
}

interface LoadedProfiles {
  readonly common: SeccompProfile | undefined;
  readonly ofHandlers: ReadonlyMap<string, SeccompProfile>;
  readonly privileged: SeccompProfiles["privileged"];
}

async function loadProfiles(runtime: Configuration["runtime"]): Promise<LoadedProfiles> {
  const common = await runtimeDefault(runtime.seccomp_profile);
  const ofHandlers = new Map<string, SeccompProfile>();
  for (const [name, { seccomp_profile: path }] of Object.entries(runtime.runtimes)) {
    if (path !== "") ofHandlers.set(name, await loadSeccomp(path));
  }
  const path = runtime.privileged_seccomp_profile;
  return {
    common,
    ofHandlers,
    privileged: path === "" ? undefined : { path, profile: await loadSeccomp(path) },
  };
}

async function runtimeDefault(configured: string): Promise<SeccompProfile | undefined> {
  if (configured !== "") return await loadSeccomp(configured);
  if (!await isFile(DISTRIBUTION_PROFILE)) return undefined;
  return distributionProfile(await readProfile(DISTRIBUTION_PROFILE), DISTRIBUTION_PROFILE);
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function loadSeccomp(path: string): Promise<SeccompProfile> {
  try {
    return parseSeccompProfile(await readProfile(path), path);
  } catch (cause) {
    throw new FailedPreconditionError(`Seccomp profile ${shown(path)} cannot be used`, {
      path,
      cause,
      remedy: "check that the file exists on this node and is a seccomp profile in JSON",
    });
  }
}

async function readProfile(path: string): Promise<string> {
  const { size, isFile } = await Deno.stat(path);
  if (!isFile || size > SECCOMP_FILE_LIMIT_BYTES) {
    throw new FailedPreconditionError(`${shown(path)} is no file of a profile's size`, { path });
  }
  return await Deno.readTextFile(path);
}
