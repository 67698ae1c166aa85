/** Small ports of `pod/` over what `sys/` offers. @module */
import { DeadlineExceededError, FailedPreconditionError, shown } from "../errors/mod.ts";
import type { Configuration } from "../config/mod.ts";
import type { NodeFacts as SpecNodeFacts } from "../oci/mod.ts";
import type { AbandonableFiles, BundleOptions, PodResourcePorts } from "../pod/mod.ts";
import { distributionProfile, parseSeccompProfile, type SeccompProfile } from "../oci/mod.ts";
import {
  type Cgroups,
  ForeignPaths,
  type Kernel,
  type NodeFacts,
  type ProcessRunner,
} from "../sys/mod.ts";

/** Cgroups of pods under every hierarchy of the node. */
export function podCgroups(cgroups: Cgroups): PodResourcePorts["cgroups"] {
  return {
    missing: (path) => ancestors(path).filter((group) => !cgroups.exists(group)),
    create: (path) => cgroups.create(path),
    removeEmpty: (paths) => cgroups.removeEmpty(paths),
  };
}

/** A path and those above it, shallowest first, without the root. */
function ancestors(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

/** Host paths of mounts, asked by programs that can be abandoned. */
export function hostFiles(
  kernel: Kernel,
  runner: ProcessRunner,
  timeoutMs: number,
): AbandonableFiles {
  const paths = new ForeignPaths({ kernel, runner, timeoutMs });
  const unless = async <T>(signal: AbortSignal, path: string, work: Promise<T>): Promise<T> => {
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => {
      reject(new DeadlineExceededError(`Host path ${shown(path)} does not answer`, { path }));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([work, promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };
  return {
    realPath: async (path, signal) => (await unless(signal, path, paths.stat(path)))?.realPath,
    makeDirectory: (path, signal) => unless(signal, path, paths.makeDirectory(path)),
  };
}

const ZONES = "/usr/share/zoneinfo";
/** The largest of the time zone database is below 4 KiB. */
const ZONE_LIMIT_BYTES = 256 * 1024;

/**
 * `timezone`: what containers get as /etc/localtime. Read for each, so that a zone database or a node
 * that changes counts for the next one.
 */
export function timeZoneFile(zone: string): BundleOptions["timeZone"] {
  if (zone === "") return () => Promise.resolve(undefined);
  const path = zone.toLowerCase() === "local" ? "/etc/localtime" : `${ZONES}/${zone}`;
  return async () => {
    try {
      const { size, isFile } = await Deno.stat(path);
      if (isFile && size <= ZONE_LIMIT_BYTES) return await Deno.readFile(path);
    } catch (cause) {
      throw new FailedPreconditionError(`Time zone ${shown(zone)} cannot be read from ${path}`, {
        path,
        field: "runtime.timezone",
        cause,
        remedy: "install the time zone database (tzdata), or correct the key",
      });
    }
    throw new FailedPreconditionError(`${path} is no file of a time zone`, { path });
  };
}

const SECCOMP_FILE_LIMIT_BYTES = 1024 * 1024;
/** Where the distribution's profile for RuntimeDefault lies. */
const DISTRIBUTION_PROFILE = "/usr/share/containers/seccomp.json";

/**
 * Seccomp profiles for RuntimeDefault: the handler's, else `seccomp_profile`, else the distribution's,
 * else the one built in; and that of privileged containers.
 *
 * @throws {FailedPreconditionError} a file that is configured cannot be used
 */
export async function seccompProfiles(
  runtime: Configuration["runtime"],
): Promise<BundleOptions["seccomp"]> {
  const common = await runtimeDefault(runtime.seccomp_profile);
  const ofHandlers = new Map<string, SeccompProfile>();
  for (const [name, { seccomp_profile: path }] of Object.entries(runtime.runtimes)) {
    if (path !== "") ofHandlers.set(name, await loadSeccomp(path));
  }
  const path = runtime.privileged_seccomp_profile;
  return {
    runtimeDefault: (handler) => ofHandlers.get(handler) ?? common,
    privileged: path === "" ? undefined : { path, profile: await loadSeccomp(path) },
    load: loadSeccomp,
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

/** What the specifications need to know of the node. */
export function specNodeFacts(
  facts: NodeFacts,
  recursiveReadOnlyMounts: boolean,
): SpecNodeFacts {
  const { hierarchies, mode } = facts.cgroups;
  const controllers = new Set(hierarchies.flatMap((hierarchy) => hierarchy.controllers));
  return {
    cgroupVersion: mode === "unified" ? 2 : 1,
    capabilities: facts.capabilities.effective,
    seccomp: facts.seccompActions.length > 0,
    appArmor: facts.appArmor ? { defaultProfile: null } : null,
    seLinux: facts.seLinux !== "disabled",
    oomScoreAdjFloor: facts.canRaiseLimits ? -1000 : ownOomScoreAdj(),
    hugetlb: mode === "unified"
      ? controllers.has("hugetlb")
      : hierarchies.some(({ version, controllers }) =>
        version === 1 && controllers.includes("hugetlb")
      ),
    pidsController: controllers.has("pids"),
    swapAccounting: hasSwapAccounting(facts),
    recursiveReadOnlyMounts,
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
  };
}

function ownOomScoreAdj(): number {
  return Number(Deno.readTextFileSync("/proc/self/oom_score_adj").trim());
}

function hasSwapAccounting({ cgroups }: NodeFacts): boolean {
  const memory = cgroups.hierarchies.find(({ controllers }) => controllers.includes("memory"));
  if (memory === undefined) return false;
  if (memory.version === 2) return true;
  try {
    return Deno.statSync(`${memory.mountPoint}/memory.memsw.limit_in_bytes`).isFile;
  } catch {
    return false;
  }
}
