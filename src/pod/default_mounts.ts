/** `mounts.conf`: files of the node that every container gets a copy of. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

export interface DefaultMount {
  /** File or directory of the node. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly destination: string;
}

/**
 * Lines `source:destination`, or one path for both; lines that do not begin with a slash are comments,
 * as for podman.
 *
 * @param path names the file in errors
 * @throws {InvalidArgumentError} a line has more parts, or a destination that is not absolute or is /
 */
export function parseDefaultMounts(text: string, path: string): DefaultMount[] {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line.startsWith("/"));
  return lines.map((line) => {
    const [source = "", destination = source, ...rest] = line.split(":");
    if (rest.length > 0 || !/^\/.*[^/]/.test(destination) || /[\0\r]/.test(line)) {
      throw new InvalidArgumentError(`Line ${shown(line)} of ${path} is no mount`, {
        path,
        field: "runtime.default_mounts_file",
        value: line,
        remedy: "write /source:/destination",
      });
    }
    return { source, destination };
  });
}
