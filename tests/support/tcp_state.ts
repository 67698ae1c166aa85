/** TCP connections of this machine as the kernel sees them. @module */

/** A connection over IPv4, from the side that has the port `from`. */
export interface PortPair {
  readonly from: number;
  readonly to: number;
}

const ESTABLISHED = "01";
/** Ten times the two time-outs that a server has for it. */
const CLOSE_GUARD_MS = 100_000;

/** True until the side with the port `from` has closed. */
export async function isEstablished({ from, to }: PortPair): Promise<boolean> {
  const [local, remote] = [from, to].map((port) =>
    `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  );
  return (await Deno.readTextFile("/proc/net/tcp")).split("\n").some((line) => {
    const [, near, far, state] = line.trim().split(/\s+/);
    return near?.endsWith(local!) && far?.endsWith(remote!) && state === ESTABLISHED;
  });
}

/** Resolves when the side with the port `from` has closed, however much the other has not read. */
export async function closedByServer(ports: PortPair): Promise<void> {
  for (const end = Date.now() + CLOSE_GUARD_MS; await isEstablished(ports);) {
    if (Date.now() > end) throw new Error("The connection stays open");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
