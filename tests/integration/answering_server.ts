/**
 * Answers each connection and each datagram with its name and the asker's address. Prints `ready`.
 *
 * Usage: `deno run -A --unstable-net answering_server.ts NAME PORT`
 *
 * @module
 */
const [name = "", portText = ""] = Deno.args;
const port = Number(portText);
const answer = (address: Deno.Addr) =>
  new TextEncoder().encode(
    `${name} ${(address as Deno.NetAddr).hostname.replace("::ffff:", "")}\n`,
  );

// Of both families: Linux takes IPv4 on a socket of IPv6, too.
const listener = Deno.listen({ hostname: "::", port });
const datagrams = Deno.listenDatagram({ transport: "udp", hostname: "::", port });

async function serveConnections(): Promise<void> {
  for await (const connection of listener) {
    await connection.write(answer(connection.remoteAddr)).catch(() => 0);
    connection.close();
  }
}

async function serveDatagrams(): Promise<void> {
  for await (const [, address] of datagrams) await datagrams.send(answer(address), address);
}

console.log("ready");
await Promise.all([serveConnections(), serveDatagrams()]);
