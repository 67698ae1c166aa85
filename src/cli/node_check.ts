/**
 * What this node lacks for running pods, and how to get it. Looks only; changes nothing.
 *
 * @module
 */
import type { Configuration, LoadedConfiguration } from "../config/mod.ts";
import { errorMessage, SauropodError } from "../errors/mod.ts";
import { loadDefaultPolicy, loadPolicy } from "../image/mod.ts";
import { AskedPluginVersions, CniConfig, CniExec, PluginDirectories } from "../network/mod.ts";
import { findProgramSync } from "../sys/programs.ts";
import type { Finding } from "./finding.ts";
import { hostPortPrograms } from "./host_port_programs.ts";
import { findPidHolder, PID_HOLDER_PACKAGE } from "../runtime/mod.ts";
import {
  type Capability,
  detectNodeFacts,
  type FileWatcher,
  type NodeFacts,
  type ProcessRunner,
} from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";

export interface NodeCheckPorts {
  readonly processes: ProcessRunner;
  /** PATH of this process. */
  readonly searchPath: string;
}

/** Every finding, in the order in which an administrator would fix them. */
export async function checkNode(
  loaded: LoadedConfiguration,
  ports: NodeCheckPorts,
): Promise<Finding[]> {
  const facts = detectNodeFacts();
  const { configuration } = loaded;
  return [
    ...rights(facts),
    ...kernel(facts),
    ...await fileSystems(facts),
    ...cgroups(facts),
    cgroupDriver(loaded, facts),
    ...await appArmor(facts),
    ...configured(loaded),
    ...await handlers(configuration, ports),
    pidHolder(ports),
    ...await network(configuration, ports),
    ...hostPortPrograms(configuration.runtime, findProgramSync),
    ...await images(configuration),
  ];
}

/** Without these no namespace, mount or network is made. */
const NEEDED_CAPABILITIES: readonly Capability[] = [
  "CAP_SYS_ADMIN",
  "CAP_NET_ADMIN",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_SETUID",
  "CAP_SETGID",
  "CAP_KILL",
  "CAP_SYS_CHROOT",
];

function* rights({ capabilities }: NodeFacts): Generator<Finding> {
  const lacking = NEEDED_CAPABILITIES.filter((name) => !capabilities.effective.includes(name));
  yield lacking.length === 0
    ? { subject: "rights", state: "ok", message: "root with the capabilities that pods need" }
    : {
      subject: "rights",
      state: "missing",
      message: `this process lacks ${lacking.join(", ")}`,
      remedy: "run it as root",
    };
  if (lacking.length === 0 && !capabilities.effective.includes("CAP_SYS_RESOURCE")) {
    yield {
      subject: "rights",
      state: "warning",
      message: "without CAP_SYS_RESOURCE limits and oom_score_adj cannot be set below our own",
    };
  }
}

function* kernel({ kernel, seccompActions, appArmor, seLinux }: NodeFacts): Generator<Finding> {
  const recent = kernel.major > 5 || (kernel.major === 5 && kernel.minor >= 6);
  yield recent ? { subject: "kernel", state: "ok", message: `Linux ${kernel.release}` } : {
    subject: "kernel",
    state: "missing",
    message: `Linux ${kernel.release} has no openat2`,
    remedy: "boot Linux 5.6 or newer",
  };
  yield seccompActions.length > 0
    ? { subject: "seccomp", state: "ok", message: "system calls can be filtered" }
    : {
      subject: "seccomp",
      state: "warning",
      message: "the kernel cannot filter system calls: pods that ask for it are refused",
    };
  yield {
    subject: "profiles",
    state: "ok",
    message: `AppArmor ${appArmor ? "enabled" : "not enabled"}, SELinux ${seLinux}`,
  };
}

/** A kernel with AppArmor needs the program that loads the default profile. */
async function appArmor({ appArmor }: NodeFacts): Promise<Finding[]> {
  if (!appArmor || await exists("/sbin/apparmor_parser")) return [];
  return [{
    subject: "profiles",
    state: "warning",
    message:
      "there is no apparmor_parser: containers run without AppArmor unless they name a profile",
    remedy: "apt-get install apparmor",
  }];
}

async function fileSystems({ kernel }: NodeFacts): Promise<Finding[]> {
  const known = await Deno.readTextFile("/proc/filesystems").catch(() => "");
  const modules = await Deno.readTextFile(`/lib/modules/${kernel.release}/modules.dep`)
    .catch(() => "");
  return [
    // A module that is there is loaded by the first mount.
    /\boverlay$/m.test(known) || /^[^:]*\/overlay\.ko/m.test(modules)
      ? { subject: "overlay", state: "ok", message: "layers can be overlaid" }
      : {
        subject: "overlay",
        state: "missing",
        message: "the kernel has no overlay file system",
        remedy: "modprobe overlay",
      },
  ];
}

function* cgroups({ cgroups }: NodeFacts): Generator<Finding> {
  if (cgroups.mode === "none") {
    yield {
      subject: "cgroups",
      state: "missing",
      message: "no cgroup hierarchy is mounted",
      remedy: "mount -t cgroup2 none /sys/fs/cgroup",
    };
    return;
  }
  const controllers = cgroups.hierarchies.flatMap((one) => one.controllers);
  const lacking = ["cpu", "memory", "pids", "cpuset"].filter((name) => !controllers.includes(name));
  yield lacking.length === 0
    ? {
      subject: "cgroups",
      state: "ok",
      message: `${cgroups.mode}, with cpu, memory, pids, cpuset`,
    }
    : {
      subject: "cgroups",
      state: "warning",
      message: `${cgroups.mode}, without ${lacking.join(", ")}: such limits cannot be set`,
      remedy: "enable the controllers on the kernel's command line, such as cgroup_enable=memory",
    };
}

/** Which driver a server would use here, and why; the kubelet's must be the same. */
function cgroupDriver(
  { configuration: { runtime }, sources }: LoadedConfiguration,
  { systemd }: NodeFacts,
): Finding {
  const source = sources.get("runtime.cgroup_manager");
  const why = source === undefined
    ? "by default"
    : source.kind === "node"
    ? `because ${source.name}`
    : `as ${source.name} says`;
  const driver = runtime.cgroup_manager;
  const subject = "cgroup driver";
  if (driver === "systemd" && !systemd) {
    return {
      subject,
      state: "missing",
      message: "systemd is to make the cgroups, and does not run this node",
      remedy: 'set cgroup_manager = "cgroupfs" here and cgroupDriver: cgroupfs in the kubelet',
    };
  }
  return { subject, state: "ok", message: `${driver}, ${why}; the kubelet's must be the same` };
}

function* configured({ notices, files }: LoadedConfiguration): Generator<Finding> {
  const told = notices.filter(({ level }) => level !== "info");
  if (told.length === 0) {
    const message = files.length === 0 ? "defaults" : files.join(", ");
    yield { subject: "configuration", state: "ok", message };
  }
  for (const { level, message } of told) {
    // Programs that are not there are told by the handlers, with what to install.
    if (/is not on this node$|in PATH$|is no program$/.test(message)) continue;
    yield {
      subject: "configuration",
      state: level === "error" ? "missing" : "warning",
      message,
    };
  }
}

const RUNC_FLAWS: readonly { readonly fixedIn: readonly number[]; readonly names: string }[] = [
  { fixedIn: [1, 1, 12], names: "CVE-2024-21626" },
  { fixedIn: [1, 1, 14], names: "CVE-2024-45310" },
  { fixedIn: [1, 2, 8], names: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881" },
];
const LEAST_CONMON = [2, 1, 0];

async function handlers(
  { runtime }: Configuration,
  ports: NodeCheckPorts,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const monitors = new Set<string>();
  for (const [name, handler] of Object.entries(runtime.runtimes)) {
    monitors.add(handler.monitor_path || "conmon");
    const subject = `runtime ${name}`;
    const path = handler.runtime_path || name;
    const version = await versionOf(path, ports);
    if (version === undefined) {
      findings.push({
        subject,
        state: name === runtime.default_runtime ? "missing" : "warning",
        message: `${path} cannot be run`,
        remedy: `apt-get install ${name}, or set runtime.runtimes.${name}.runtime_path`,
      });
      continue;
    }
    const flaws = /runc/.test(path)
      ? RUNC_FLAWS.filter(({ fixedIn }) => isOlder(version.numbers, fixedIn))
      : [];
    findings.push(
      flaws.length === 0 ? { subject, state: "ok", message: `${path} ${version.text}` } : {
        subject,
        state: "warning",
        message: `${path} ${version.text} has known flaws, unless your distribution has mended ` +
          `them: ${flaws.map(({ names }) => names).join(", ")}`,
        remedy: "install runc 1.2.8 or newer",
      },
    );
  }
  if (!Object.hasOwn(runtime.runtimes, runtime.default_runtime)) {
    findings.push({
      subject: `runtime ${runtime.default_runtime}`,
      state: "missing",
      message: "the default handler cannot be used",
      remedy: `apt-get install ${runtime.default_runtime}, or set runtime.default_runtime`,
    });
    monitors.add("conmon");
  }
  for (const path of monitors) findings.push(await monitor(path, ports));
  return findings;
}

async function monitor(path: string, ports: NodeCheckPorts): Promise<Finding> {
  const subject = "monitor";
  const version = await versionOf(path, ports);
  if (version === undefined) {
    return {
      subject,
      state: "missing",
      message: `${path} cannot be run`,
      remedy: "apt-get install conmon",
    };
  }
  return isOlder(version.numbers, LEAST_CONMON)
    ? {
      subject,
      state: "missing",
      message: `${path} ${version.text} is too old`,
      remedy: "install conmon 2.1 or newer",
    }
    : { subject, state: "ok", message: `${path} ${version.text}` };
}

/** Only pods that share their PID namespace need it. */
function pidHolder({ searchPath }: NodeCheckPorts): Finding {
  const subject = "shared PID namespaces";
  const path = findPidHolder(searchPath);
  return path === undefined
    ? {
      subject,
      state: "warning",
      message: "there is no catatonit: pods that share their PID namespace " +
        "(shareProcessNamespace, pid: POD) are refused",
      remedy: `apt-get install ${PID_HOLDER_PACKAGE}`,
    }
    : { subject, state: "ok", message: `held by ${path}` };
}

function isOlder(version: readonly number[], other: readonly number[]): boolean {
  for (const [index, number] of other.entries()) {
    const difference = (version[index] ?? 0) - number;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

interface ProgramVersion {
  readonly numbers: readonly number[];
  readonly text: string;
}

async function versionOf(
  program: string,
  { processes, searchPath }: NodeCheckPorts,
): Promise<ProgramVersion | undefined> {
  const path = program.startsWith("/") ? program : await onPath(program, searchPath);
  if (path === undefined) return undefined;
  try {
    const { stdout } = await processes.run({
      path,
      args: ["--version"],
      env: { PATH: searchPath },
      timeoutMs: 60_000,
      outputLimitBytes: 16 * 1024,
    });
    const match = /\b(\d+)\.(\d+)(?:\.(\d+))?\S*/.exec(new TextDecoder().decode(stdout));
    if (match === null) return undefined;
    return { numbers: match.slice(1, 4).map((part) => Number(part ?? 0)), text: match[0] };
  } catch {
    // Missing, not executable, of another machine: for the administrator all the same.
    return undefined;
  }
}

async function onPath(program: string, searchPath: string): Promise<string | undefined> {
  for (const directory of searchPath.split(":")) {
    const path = `${directory}/${program}`;
    if (directory.startsWith("/") && await exists(path)) return path;
  }
  return undefined;
}

async function network(
  { network }: Configuration,
  { processes }: NodeCheckPorts,
): Promise<Finding[]> {
  const subject = "network";
  const plugins = new PluginDirectories(network.plugin_dirs);
  using config = new CniConfig({
    configDir: network.network_dir,
    defaultNetwork: network.cni_default_network,
    plugins,
    versions: new AskedPluginVersions(new CniExec(processes, plugins), plugins),
    watcher: unwatched,
    logger: silentLogger,
  });
  await config.reload();
  const readiness = config.readiness();
  return [
    readiness.ready
      ? { subject, state: "ok", message: `${config.choose().name} from ${network.network_dir}` }
      : {
        subject,
        state: "missing",
        message: readiness.message,
        remedy: `apt-get install containernetworking-plugins, and put a configuration into ` +
          network.network_dir,
      },
  ];
}

/** For a configuration that is read once. */
const unwatched: FileWatcher = {
  watchDirectory: () => ({ [Symbol.dispose]() {} }),
  [Symbol.dispose]() {},
};

async function images({ image }: Configuration): Promise<Finding[]> {
  const findings: Finding[] = [];
  const given = image.signature_policy;
  try {
    const policy = given === "" ? await loadDefaultPolicy() : await loadPolicy(given);
    findings.push(
      policy.missing
        ? {
          subject: "signature policy",
          state: "warning",
          message: `there is no ${policy.path}: every pull is refused`,
          remedy: `write {"default":[{"type":"insecureAcceptAnything"}]} there`,
        }
        : {
          subject: "signature policy",
          state: "ok",
          message: `${policy.path}: ${policy.byDefault} by default`,
        },
    );
  } catch (error) {
    findings.push({
      subject: "signature policy",
      state: "missing",
      message: errorMessage(error),
      ...(error instanceof SauropodError && error.details.remedy !== undefined
        ? { remedy: error.details.remedy }
        : {}),
    });
  }
  findings.push(
    await exists("/etc/containers/registries.conf")
      ? { subject: "registries", state: "ok", message: "/etc/containers/registries.conf" }
      : {
        subject: "registries",
        state: "warning",
        message: "there is no /etc/containers/registries.conf: short names cannot be pulled",
        remedy: `write unqualified-search-registries = ["docker.io"] there`,
      },
  );
  return findings;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false);
}
