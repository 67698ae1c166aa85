/**
 * Certificates for a registry, as the container tools keep them: in `certs.d/<host[:port]>/`, `*.crt` are
 * CAs trusted beside the system's, `*.cert` with its `*.key` is what we show the registry.
 *
 * @module
 */
import { errorMessage, FailedPreconditionError } from "../errors/mod.ts";
import type { TlsSettings } from "../storage/http_transport.ts";
import { readAdminFile } from "./bounded_file.ts";

export type RegistryCerts = Pick<TlsSettings, "caCerts" | "client">;

/** The folders of the container tools for a user's home, in the order in which they are looked at. */
export function defaultCertsDirectories(home: string | undefined): readonly string[] {
  return [
    ...(home === undefined ? [] : [`${home}/.config/containers/certs.d`]),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ];
}

/**
 * What the first directory that has a folder for the host holds; nothing if none has.
 *
 * @param host as references write it: Docker's own registry is `docker.io`
 * @throws {FailedPreconditionError} a file is not readable, or a certificate lacks its key
 */
export async function registryCerts(
  directories: readonly string[],
  host: string,
): Promise<RegistryCerts> {
  // A host is checked by the reference grammar: it has no slash, and dots alone are none.
  for (const directory of directories) {
    const folder = `${directory}/${host}`;
    const names = await fileNames(folder);
    if (names !== undefined) return await certsOf(folder, names);
  }
  return { caCerts: [] };
}

async function certsOf(folder: string, names: readonly string[]): Promise<RegistryCerts> {
  const caCerts: string[] = [];
  for (const name of names.filter((name) => name.endsWith(".crt"))) {
    caCerts.push(await pem(folder, name, "CA certificate"));
  }
  const pairs = names.filter((name) => name.endsWith(".cert"));
  for (const name of names.filter((name) => name.endsWith(".key"))) {
    if (!pairs.includes(name.replace(/key$/, "cert"))) {
      throw wrong(folder, `the key ${name} has no certificate ${name.replace(/key$/, "cert")}`);
    }
  }
  const [first, second] = pairs;
  if (first === undefined) return { caCerts };
  if (second !== undefined) {
    throw wrong(folder, `${first} and ${second} are two client certificates, and one can be shown`);
  }
  const key = first.replace(/cert$/, "key");
  if (!names.includes(key)) {
    throw wrong(folder, `the client certificate ${first} has no key ${key}`, {
      remedy: "name it *.crt if it is the certificate of a CA",
    });
  }
  return {
    caCerts,
    client: {
      cert: await pem(folder, first, "client certificate"),
      key: await pem(folder, key, "key of a client certificate"),
    },
  };
}

async function pem(folder: string, name: string, what: string): Promise<string> {
  const text = await readAdminFile(`${folder}/${name}`, what);
  if (text === undefined) throw wrong(folder, `${name} vanished while it was read`);
  if (!text.includes("-----BEGIN ")) throw wrong(folder, `the ${what} ${name} is not PEM`);
  return text;
}

async function fileNames(folder: string): Promise<string[] | undefined> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) names.push(entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw wrong(folder, errorMessage(error));
  }
  return names.sort();
}

function wrong(
  folder: string,
  why: string,
  details: { readonly remedy?: string } = {},
): FailedPreconditionError {
  return new FailedPreconditionError(`Cannot use the certificates in ${folder}: ${why}`, {
    path: folder,
    ...details,
  });
}
