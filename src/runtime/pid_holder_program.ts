/** Where a node keeps the program that holds PID namespaces. @module */
import { FailedPreconditionError } from "../errors/mod.ts";
import { findProgramSync } from "../sys/programs.ts";

const NAME = "catatonit";
/** Where Podman looks for its helpers (`helper_binaries_dir` of containers.conf). */
const HELPER_DIRECTORIES: readonly string[] = [
  "/usr/local/libexec/podman",
  "/usr/local/lib/podman",
  "/usr/libexec/podman",
  "/usr/lib/podman",
];

/** Package that brings it, for messages. */
export const PID_HOLDER_PACKAGE = "catatonit";

/** Path of catatonit, links followed; undefined if the node has none. Looks anew at each call. */
export function findPidHolder(
  searchPath: string,
  helpers = HELPER_DIRECTORIES,
): string | undefined {
  const path = findProgramSync(NAME, [searchPath, ...helpers].join(":"));
  return path === undefined ? undefined : Deno.realPathSync(path);
}

/** @throws {FailedPreconditionError} the node has none: says what to install */
export function requirePidHolder(searchPath: string, helpers = HELPER_DIRECTORIES): string {
  const path = findPidHolder(searchPath, helpers);
  if (path !== undefined) return path;
  throw new FailedPreconditionError(
    `A PID namespace that the pod shares needs ${NAME}, which is not on this node`,
    {
      field: "config.linux.security_context.namespace_options.pid",
      value: "POD",
      remedy:
        `apt-get install ${PID_HOLDER_PACKAGE} (or put it on the search path, or into one of ${
          helpers.join(" ")
        }), or ask for CONTAINER (shareProcessNamespace: false)`,
    },
  );
}
