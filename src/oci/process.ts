/** The process of a container: what runs, where and as whom. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { ImageConfig } from "../image/images.ts";
import type { ContainerConfig } from "../proto/mod.ts";
import { appArmorProfile } from "./apparmor.ts";
import { buildCapabilities } from "./capabilities.ts";
import { buildEnvironment } from "./environment.ts";
import { cleanPath } from "./container_path.ts";
import { umaskWish } from "./pod_wishes.ts";
import type { SpecProcess } from "./runtime_spec.ts";
import type { SpecInputs } from "./spec_inputs.ts";

/** @throws {InvalidArgumentError} naming the field of the request that cannot be met */
export function buildProcess(inputs: SpecInputs): SpecProcess {
  const { container, sandbox, image, user, defaults, node } = inputs;
  const security = container.linux?.securityContext;
  const args = processArgs(container, image);
  const profile = appArmorProfile(security, node);
  const oomScoreAdj = oomScoreAdjOf(inputs);
  const umask = umaskWish(sandbox.annotations, defaults.annotations);
  return {
    terminal: container.tty,
    user: {
      uid: user.uid,
      gid: user.gid,
      ...(umask === undefined ? {} : { umask }),
      additionalGids: user.additionalGids,
    },
    args,
    env: buildEnvironment({
      hostname: inputs.hostname,
      systemd: isSystemd(args),
      defaults: defaults.env,
      image: image.env,
      request: container.envs,
    }),
    cwd: workingDirectory(container, image),
    capabilities: buildCapabilities({
      request: security?.capabilities,
      privileged: security?.privileged ?? false,
      defaults: defaults.capabilities,
      addInheritable: defaults.addInheritableCapabilities,
      available: node.capabilities,
    }),
    ...(defaults.ulimits.length === 0 ? {} : { rlimits: defaults.ulimits }),
    noNewPrivileges: security?.noNewPrivs ?? false,
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
    ...(profile === undefined ? {} : { apparmorProfile: profile }),
  };
}

/**
 * The request's command and arguments; arguments without a command follow the image's entry point;
 * neither: the image's own.
 *
 * @throws {InvalidArgumentError} there is none, or one holds NUL
 */
export function processArgs(
  container: Pick<ContainerConfig, "command" | "args">,
  image: Pick<ImageConfig, "entrypoint" | "cmd">,
): string[] {
  const args = container.command.length > 0
    ? [...container.command, ...container.args]
    : container.args.length > 0
    ? [...image.entrypoint, ...container.args]
    : [...image.entrypoint, ...image.cmd];
  if (args.length === 0 || args[0] === "") {
    throw new InvalidArgumentError(
      "No command specified: neither the request nor the image has one",
      {
        field: "config.command",
        remedy: "give a command in the pod",
      },
    );
  }
  const bad = args.find((arg) => arg.includes("\0"));
  if (bad !== undefined) {
    throw new InvalidArgumentError(`Argument ${shown(bad)} holds NUL`, {
      field: "config.args",
      value: bad,
    });
  }
  return args;
}

/**
 * The request's working directory, else the image's, else `/`; absolute and without `..`.
 *
 * @throws {InvalidArgumentError} it is relative in the request, holds a line break or NUL, or leads
 *   to a descriptor of the OCI runtime (CVE-2024-21626)
 */
export function workingDirectory(
  container: Pick<ContainerConfig, "workingDir">,
  image: Pick<ImageConfig, "workingDir">,
): string {
  const requested = container.workingDir !== "";
  const field = requested ? "config.working_dir" : "image.working_dir";
  const given = requested ? container.workingDir : image.workingDir;
  if (given === "") return "/";
  const path = cleanPath(requested || given.startsWith("/") ? given : `/${given}`, field);
  refuseOpenFiles(path, field, given);
  return path;
}

/**
 * Refuses a working directory that leads to an open file of the runtime, which may be a directory of
 * the host (CVE-2024-21626).
 *
 * @param path where it leads, links followed, seen from the container's root
 * @param given how it was asked for
 */
export function refuseOpenFiles(path: string, field: string, given: string): void {
  if (!/^\/(?:proc|dev)\/(?:.*\/)?fd(?:\/|$)/.test(path)) return;
  throw new InvalidArgumentError(
    `${field} ${shown(given)} leads to an open file of the runtime instead of the container`,
    { field, value: given, remedy: "name a directory of the image" },
  );
}

/** True for an entry point that is systemd and needs its tmpfs mounts and a writable cgroup. */
export function isSystemd(args: readonly string[]): boolean {
  const program = args[0] ?? "";
  return program.includes("/sbin/init") ||
    program.slice(program.lastIndexOf("/") + 1) === "systemd";
}

function oomScoreAdjOf({ container, node }: SpecInputs): number | undefined {
  const requested = container.linux?.resources?.oomScoreAdj;
  if (requested === undefined) return undefined;
  if (requested < -1000n || requested > 1000n) {
    throw new InvalidArgumentError(`oom_score_adj ${requested} is not from -1000 to 1000`, {
      field: "config.linux.resources.oom_score_adj",
      value: requested.toString(),
    });
  }
  return Math.max(Number(requested), node.oomScoreAdjFloor);
}
