/**
 * Certificates for a registry: `certs.d/<host[:port]>/*.crt` are trusted beside the system's.
 *
 * @module
 */
import { UnimplementedError } from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";

/**
 * PEM texts of the first directory that has an entry for the host; undefined if none has.
 *
 * @param directories such as `/etc/containers/certs.d` and `/etc/docker/certs.d`
 * @throws {UnimplementedError} the entry has a client certificate
 * @throws {FailedPreconditionError} a file is not readable
 */
export async function registryCerts(
  directories: readonly string[],
  host: string,
): Promise<readonly string[] | undefined> {
  // A host is checked by the reference grammar: it has no slash, and dots alone are none.
  for (const directory of directories) {
    const folder = `${directory}/${host}`;
    const names = await fileNames(folder);
    if (names === undefined) continue;
    const client = names.find((name) => name.endsWith(".cert") || name.endsWith(".key"));
    if (client !== undefined) {
      throw new UnimplementedError(
        `Cannot use the client certificate ${folder}/${client}: they are not supported yet`,
        { path: `${folder}/${client}`, remedy: "use a user name and password" },
      );
    }
    const texts = await Promise.all(
      names.filter((name) => name.endsWith(".crt"))
        .map((name) => readAdminFile(`${folder}/${name}`, "CA certificate")),
    );
    const found = texts.filter((text) => text !== undefined);
    return found.length === 0 ? undefined : found;
  }
  return undefined;
}

async function fileNames(folder: string): Promise<string[] | undefined> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) names.push(entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return names.sort();
}
