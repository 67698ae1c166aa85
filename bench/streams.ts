/**
 * Bytes through exec and a forwarded port, and how soon a command ends that a client runs.
 *
 * The client is the Go program of the e2e tests, with kubectl's own library; it makes, takes and compares the
 * bytes, and inside the container the same program does. How long it kept a processor busy is in the notes: it
 * must not be what is measured.
 *
 * @module
 */
import { ContainerConfig } from "../src/proto/mod.ts";
import { buildGoClient } from "../tests/support/go_client.ts";
import { type BenchContext, inTurns, roundsOf } from "./context.ts";
import { residentMiB, watchPeak, watchProcessor } from "./memory.ts";
import type { Peer } from "./peer.ts";
import { containerConfig, createContainer, podConfig, removePods, runSandbox } from "./workload.ts";

const PORT = 8080;
const BYTES = 1 << 30;
const WARM_UP_BYTES = 16 << 20;
/** Where the program lies in the container. */
const CLIENT = "/client";

type Protocol = "spdy" | "websocket";

interface Transfer {
  readonly path: "exec-out" | "exec-in" | "forward-out" | "forward-in";
  readonly protocol: Protocol;
  readonly row: string;
}

const PATHS = {
  "exec-out": "1 GiB out of a command",
  "exec-in": "1 GiB into a command",
  "forward-out": "1 GiB out of a port",
  "forward-in": "1 GiB into a port",
} as const;
const PROTOCOLS = { spdy: "SPDY", websocket: "WebSocket" } as const;

const TRANSFERS: readonly Transfer[] = Object.entries(PROTOCOLS).flatMap(([protocol, name]) =>
  Object.entries(PATHS).map(([path, what]) => ({
    path: path as Transfer["path"],
    protocol: protocol as Protocol,
    row: `${what}, ${name}`,
  }))
);

/** A container that waits for what is done with it. */
interface Place {
  readonly peer: Peer;
  readonly pod: string;
  readonly container: string;
}

export async function streams(context: BenchContext): Promise<void> {
  const { peers, figures, calls } = context;
  const program = await buildGoClient();
  const places = new Map<Peer, Place>();
  for (const peer of peers) places.set(peer, await startPlace(context, peer, program));
  const run = async (peer: Peer, transfer: Pick<Transfer, "path" | "protocol">, bytes: number) =>
    await clientReport(context, program, [
      `-path=${transfer.path}`,
      `-protocol=${transfer.protocol}`,
      `-bytes=${bytes}`,
      ...placeArguments(places.get(peer)!),
    ]);
  const busy = new Map<string, number[]>();

  // The first of each kind pays for what all others find warm.
  for (const transfer of TRANSFERS) {
    for (const peer of peers.filter((peer) => speaks(peer, transfer))) {
      await run(peer, transfer, WARM_UP_BYTES);
    }
  }
  await noteResident(context, "before");
  for (const round of roundsOf(context)) {
    for (const transfer of TRANSFERS) {
      for (const peer of inTurns(peers.filter((peer) => speaks(peer, transfer)), round)) {
        context.say(`${peer.name}: ${transfer.row}, round ${round}`);
        const peak = peer.process && await watchPeak(peer.process);
        const processor = peer.process && await watchProcessor(peer.process);
        const { Milliseconds: [took = NaN], ClientCPU } = await run(peer, transfer, BYTES);
        figures.add(`${transfer.row}: MiB/s`, peer.name, (BYTES >> 20) * 1000 / took);
        if (processor !== undefined) {
          figures.add(`${transfer.row}: processor, s`, peer.name, await processor());
        }
        if (peak !== undefined) {
          figures.add(`${transfer.row}: resident at most, MiB`, peer.name, await peak());
        }
        const name = `${transfer.row}, ${peer.name}`;
        busy.set(name, [...busy.get(name) ?? [], ClientCPU / took]);
      }
    }
    for (const peer of inTurns(peers, round)) {
      const { Milliseconds } = await clientReport(context, program, [
        "-path=latency",
        `-count=${calls}`,
        ...placeArguments(places.get(peer)!),
      ]);
      for (const ms of Milliseconds) {
        figures.add("Exec of true with its streams, SPDY", peer.name, ms);
      }
    }
  }
  await noteResident(context, "after");
  figures.note(
    "Processors that the client took, rounds in a row: " +
      [...busy].map(([name, shares]) =>
        `${name} ${shares.map((share) => share.toFixed(2)).join(" ")}`
      ).join("; "),
  );
  for (const peer of peers) await removePods(peer);
}

async function startPlace(
  { images }: BenchContext,
  peer: Peer,
  program: string,
): Promise<Place> {
  const pod = await runSandbox(peer, podConfig(peer));
  const { mounts } = ContainerConfig.fromPartial({
    mounts: [{ containerPath: CLIENT, hostPath: program, readonly: true }],
  });
  const container = await createContainer(peer, pod, {
    ...containerConfig(images.shell),
    command: [CLIENT, "speed-server", String(PORT)],
    mounts,
  });
  await peer.client.runtime.startContainer({ containerId: container });
  return { peer, pod: pod.sandbox, container };
}

function speaks(peer: Peer, { protocol }: Transfer): boolean {
  return protocol === "spdy" || peer.webSocket;
}

function placeArguments({ peer, pod, container }: Place): string[] {
  return [
    `-endpoint=unix://${peer.socket}`,
    `-pod=${pod}`,
    `-container=${container}`,
    `-port=${PORT}`,
  ];
}

/** As the program prints it. */
interface ClientReport {
  readonly Milliseconds: readonly number[];
  readonly ClientCPU: number;
}

/** @throws the bytes did not arrive as they were sent, or something else went wrong */
async function clientReport(
  { signal }: BenchContext,
  program: string,
  args: readonly string[],
): Promise<ClientReport> {
  const { success, stdout } = await new Deno.Command(program, {
    args: ["speed", ...args],
    stderr: "inherit",
    signal,
  }).output();
  if (!success) throw new Error(`the client failed: ${args.join(" ")}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function noteResident({ peers, figures }: BenchContext, when: string): Promise<void> {
  for (const { name, process } of peers) {
    if (process === undefined) continue;
    figures.add(`Resident ${when} all transfers, MiB`, name, await residentMiB(process));
  }
}
