/** Small ports of `pod/` over what `sys/` offers. @module */
import { DeadlineExceededError, FailedPreconditionError, shown } from "../errors/mod.ts";
import { isSlice, unitOf } from "../model/mod.ts";
import type { NodeFacts as SpecNodeFacts } from "../oci/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { KeyedMutex, parseDefaultMounts } from "../pod/mod.ts";
import type { AbandonableFiles, BundleOptions, PodResourcePorts } from "../pod/mod.ts";
import {
  type Cgroups,
  ForeignPaths,
  type ForeignPathsOptions,
  type Kernel,
  type NodeFacts,
  type ProcessRunner,
  type SystemdUnits,
} from "../sys/mod.ts";

/** Part of every node that systemd runs, and never ours to stop. */
export const SYSTEM_SLICE = "system.slice";

/**
 * Cgroups of pods under every hierarchy of the node; slices are systemd's to make and to remove. One slice
 * is made or removed at a time: what is found there is not taken away before it counts as used.
 */
export function podCgroups(cgroups: Cgroups, units: SystemdUnits): PodResourcePorts["cgroups"] {
  const changes = new KeyedMutex();
  return {
    missing: (path) => ancestors(path).filter((group) => !cgroups.exists(group)),
    async create(path, signal): Promise<void> {
      if (!isSlice(path)) return cgroups.create(path);
      using _ = await changes.acquire("slices", signal);
      if (!cgroups.exists(path)) await units.startSlice(unitOf(path), signal);
    },
    async removeEmpty(paths, isClaimed, signal): Promise<void> {
      cgroups.removeEmpty(paths.filter((path) => !isSlice(path) && !isClaimed(path)));
      const slices = paths.filter((path) => isSlice(path) && unitOf(path) !== SYSTEM_SLICE);
      if (slices.length === 0) return;
      using _ = await changes.acquire("slices", signal);
      for (const path of slices.toSorted((a, b) => b.length - a.length)) {
        const unused = cgroups.exists(path) && cgroups.children(path).length === 0 &&
          cgroups.pids(path).length === 0 && !isClaimed(path);
        if (unused) await units.stop(unitOf(path), signal);
      }
    },
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
    resolveBelow: (root, path, signal) => unless(signal, path, paths.resolveBelow(root, path)),
    makeDirectory: (path, signal) => unless(signal, path, paths.makeDirectory(path)),
  };
}

/** Where `mounts.conf` lies if the key names no other; the first that is there counts. */
const MOUNTS_FILES = ["/etc/containers/mounts.conf", "/usr/share/containers/mounts.conf"];
const MOUNTS_FILE_LIMIT_BYTES = 64 * 1024;

/**
 * `default_mounts_file`, read once. Each container gets copies, so that what it writes there, and what
 * is mounted below, is its own.
 *
 * @throws {InvalidArgumentError} a line of the file is no mount
 * @throws {FailedPreconditionError} the file that is configured is not there, or none of its size
 */
export async function defaultMounts(
  configured: string,
  { log, ...options }: ForeignPathsOptions & { readonly log: Logger },
): Promise<BundleOptions["defaultMounts"]> {
  const files = configured === "" ? await presentFiles(MOUNTS_FILES) : [configured];
  const path = files[0];
  if (path === undefined) return () => Promise.resolve([]);
  const mounts = parseDefaultMounts(await readConfigured(path), path);
  const paths = new ForeignPaths(options);
  return async (folder) => {
    if (mounts.length > 0) await Deno.mkdir(folder, { mode: 0o700 });
    const copies = mounts.map(async ({ source, destination }, index) => {
      const hostPath = `${folder}/${index}`;
      if (await paths.copy(source, hostPath)) return [{ containerPath: destination, hostPath }];
      log.warn(`Default mount ${source} of ${path} is left out: there is nothing`, {
        path: source,
      });
      return [];
    });
    return (await Promise.all(copies)).flat();
  };
}

async function presentFiles(paths: readonly string[]): Promise<string[]> {
  const present = await Promise.all(
    paths.map((path) => Deno.stat(path).then(({ isFile }) => isFile, () => false)),
  );
  return paths.filter((_, index) => present[index]);
}

async function readConfigured(path: string): Promise<string> {
  const { size, isFile } = await Deno.stat(path).catch((cause) => {
    throw new FailedPreconditionError(`default_mounts_file ${shown(path)} cannot be read`, {
      path,
      field: "runtime.default_mounts_file",
      cause,
    });
  });
  if (!isFile || size > MOUNTS_FILE_LIMIT_BYTES) {
    throw new FailedPreconditionError(`${shown(path)} is no file of mounts`, {
      path,
      field: "runtime.default_mounts_file",
    });
  }
  return await Deno.readTextFile(path);
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

/** As `packaging/` calls it; a server that was started by hand says so, too, which harms nobody. */
const PACKAGED_UNIT = "sauropod.service";

/** What the specifications need to know of the node; the rest is each handler's. */
export function specNodeFacts(
  facts: NodeFacts,
  /** Asked on nodes with AppArmor only: what RuntimeDefault stands for. */
  appArmorDefault: () => string | null,
): Omit<SpecNodeFacts, "recursiveReadOnlyMounts"> {
  const { hierarchies, mode } = facts.cgroups;
  const controllers = new Set(hierarchies.flatMap((hierarchy) => hierarchy.controllers));
  return {
    cgroupVersion: mode === "unified" ? 2 : 1,
    capabilities: facts.capabilities.effective,
    seccomp: facts.seccompActions.length > 0,
    appArmor: facts.appArmor ? { defaultProfile: appArmorDefault() } : null,
    serviceUnit: facts.serviceUnit ?? PACKAGED_UNIT,
    oomScoreAdjFloor: facts.canRaiseLimits ? -1000 : ownOomScoreAdj(),
    hugetlb: mode === "unified"
      ? controllers.has("hugetlb")
      : hierarchies.some(({ version, controllers }) =>
        version === 1 && controllers.includes("hugetlb")
      ),
    pidsController: controllers.has("pids"),
    swapAccounting: hasSwapAccounting(facts),
    thermalThrottlePaths: thermalThrottlePaths("/sys/devices/system/cpu"),
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
  };
}

/** Of the processors below a directory such as /sys/devices/system/cpu: they tell about other pods' work. */
export function thermalThrottlePaths(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)]
      .filter(({ name }) => /^cpu[0-9]+$/.test(name))
      .map(({ name }) => `${directory}/${name}/thermal_throttle`)
      .filter((path) => existsSync(path))
      .sort();
  } catch {
    return []; // a kernel without /sys has nothing to hide there
  }
}

function existsSync(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
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
