/** Whether a host path can propagate mounts as a request wants it (`mount_namespaces(7)`). @module */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { isAtOrBelow } from "./container_path.ts";
import type { ResolvedMount } from "./spec_inputs.ts";

type Propagation = ResolvedMount["propagation"];

export interface PropagationInputs {
  /** Content of `/proc/self/mountinfo`. */
  readonly mountinfo: string;
  /** Resolved source on the host. */
  readonly hostPath: string;
  readonly propagation: Propagation;
  /** Where this runtime keeps containers' file systems: mounts come and go below it. */
  readonly storageRoot: string;
  /** Named in errors: `config.mounts[0]`. */
  readonly field: string;
}

/**
 * The propagation the mount gets: a private one whose source holds the storage root is raised to
 * host-to-container, so that it keeps no other container's file system busy.
 *
 * @throws {FailedPreconditionError} the source is on a mount that is not shared as it must be
 */
export function checkedPropagation(inputs: PropagationInputs): Propagation {
  const { hostPath, propagation, storageRoot } = inputs;
  const raised = propagation === "private" && isAtOrBelow(storageRoot, hostPath);
  if (raised) return "host-to-container";
  if (propagation === "private") return propagation;
  const { shared, slave, mountPoint } = peerGroupsOf(inputs.mountinfo, hostPath);
  if (shared || (propagation === "host-to-container" && slave)) return propagation;
  const needed = propagation === "bidirectional" ? "shared" : "shared or slave";
  throw new FailedPreconditionError(
    `Mount source ${shown(hostPath)} is on ${shown(mountPoint)}, which is not a ${needed} mount`,
    {
      field: `${inputs.field}.propagation`,
      value: hostPath,
      remedy: `make it so: mount --make-rshared ${mountPoint}`,
    },
  );
}

interface PeerGroups {
  readonly mountPoint: string;
  readonly shared: boolean;
  readonly slave: boolean;
}

/** Of the mount that a path is on: the deepest, and of several at one place the last, on top. */
function peerGroupsOf(mountinfo: string, path: string): PeerGroups {
  let best: PeerGroups = { mountPoint: "/", shared: false, slave: false };
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const mountPoint = unescape(fields[4] ?? "");
    const end = fields.indexOf("-", 6);
    if (mountPoint === "" || end < 0 || !isAtOrBelow(path, mountPoint)) continue;
    if (mountPoint.length < best.mountPoint.length) continue;
    const optional = fields.slice(6, end);
    best = {
      mountPoint,
      shared: optional.some((field) => field.startsWith("shared:")),
      slave: optional.some((field) => field.startsWith("master:")),
    };
  }
  return best;
}

/** The kernel writes blanks, tabs, line feeds and backslashes as octal numbers. */
function unescape(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
