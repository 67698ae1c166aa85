/**
 * Many commands and many attached clients that break off, commands that fail, are left early or leave a program
 * behind, and what they leave here: processes, descriptors and memory, looked at ten times on the way. Of our
 * own server.
 *
 * @module
 */
import { belongings } from "../tests/support/belongings.ts";
import { buildGoClient } from "../tests/support/go_client.ts";
import type { BenchContext } from "./context.ts";
import { residentMiB } from "./memory.ts";
import type { Peer, PeerProcess } from "./peer.ts";
import { containerConfig, createContainer, podConfig, removePods, runSandbox } from "./workload.ts";

/**
 * How many of each kind, as the client calls them; a failure is three commands. The container's first process
 * is a shell, which does not reap what daemons leave: they stay in its number of processes.
 */
const FLOODS = { execs: 10_000, attaches: 10_000, failures: 5_000, daemons: 3_000 } as const;
type Kind = keyof typeof FLOODS;
const KINDS = Object.keys(FLOODS) as Kind[];
const LOOKS = 10;
/** What a command left behind lives for less. */
const DAEMON_LIFE_MS = 7_000;
/** Says each line that it is given on both of its outputs. */
const PARROT = 'while read -r line; do echo "out $line"; echo "err $line" >&2; done';

export async function floods(context: BenchContext): Promise<void> {
  const [ours] = context.peers;
  if (ours?.process === undefined) return;
  const program = await buildGoClient();
  const pod = await runSandbox(ours, podConfig(ours));
  const container = await createContainer(ours, pod, {
    ...containerConfig(context.images.shell, { script: PARROT }),
    stdin: true,
  });
  await ours.client.runtime.startContainer({ containerId: container });
  const flood = async (kind: Kind, count: number) => {
    context.signal.throwIfAborted();
    const { success, stdout } = await new Deno.Command(program, {
      args: [
        "streams",
        `-endpoint=unix://${ours.socket}`,
        `-container=${container}`,
        `-pod=${pod.sandbox}`,
        `-${kind}=${count}`,
      ],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stdout));
    if (kind === "daemons") await new Promise((resolve) => setTimeout(resolve, DAEMON_LIFE_MS));
  };
  // The first of each kind make what stays for all others: connections, threads, compiled code.
  for (const kind of KINDS) await flood(kind, 100);
  const note = async (when: string) =>
    context.figures.note(`${when}: ${await look(ours, ours.process!, container)}`);
  await note("Before the floods");
  for (const kind of KINDS) {
    const step = FLOODS[kind] / LOOKS;
    for (let done = step; done <= FLOODS[kind]; done += step) {
      context.say(`${ours.name}: ${done} ${kind}`);
      await flood(kind, step);
      await note(`After ${done} ${kind}`);
    }
  }
  await removePods(ours);
}

async function look({ client }: Peer, process: PeerProcess, container: string): Promise<string> {
  const { serverChildren, serverDescriptors, monitorDescriptors, containerProcesses } =
    await belongings({ client, pid: process.pid }, container);
  return `${serverChildren} children of the server, ${serverDescriptors} descriptors, ` +
    `${(await residentMiB(process)).toFixed(0)} MiB with monitors; ` +
    `${monitorDescriptors} descriptors of the monitor, ${containerProcesses} processes in the container`;
}
