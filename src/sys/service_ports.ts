/** Names of services in services(5): `http` is port 80 of TCP. @module */

const SERVICES = "/etc/services";
/** Debian's has 13 KiB, the full list of the registry 700. */
const LIMIT_BYTES = 4 << 20;

/**
 * The port of a service by its name or one of its aliases, in whatever case; undefined if the node knows
 * none of the name.
 *
 * @throws {Error} the file is there and cannot be read, or is too large
 */
export async function servicePort(
  name: string,
  protocol: "tcp" | "udp",
  path = SERVICES,
): Promise<number | undefined> {
  const wanted = name.toLowerCase();
  for (const line of (await readServices(path)).split("\n")) {
    const [entry = ""] = line.split("#", 1);
    const [official = "", place = "", ...aliases] = entry.trim().split(/\s+/);
    const port = new RegExp(`^(\\d{1,5})/${protocol}$`).exec(place)?.[1];
    if (port === undefined || Number(port) > 65535) continue;
    if ([official, ...aliases].some((known) => known.toLowerCase() === wanted)) return Number(port);
  }
  return undefined;
}

async function readServices(path: string): Promise<string> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile || size > LIMIT_BYTES) throw new Error(`${path} is no file of services`);
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
