/**
 * The same client and the same images against our server, Debian's containerd and any other runtime
 * that is named, taking turns in one run.
 *
 * ```
 * deno task bench [--rounds 3] [--calls 40] [--only calls,pulls] [--endpoint NAME=SOCKET]...
 *                 [--without-containerd] [--output FILE]
 * ```
 *
 * Needs root. Everything that it makes on the host is taken away at the end, after a failure and
 * after Ctrl-C, too.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { startRegistry } from "../tests/integration/registry.ts";
import type { BenchContext } from "./context.ts";
import { startContainerd } from "./containerd.ts";
import { Figures } from "./figures.ts";
import { pushImages } from "./images.ts";
import { startOurs } from "./ours.ts";
import { namedEndpoint, type Peer } from "./peer.ts";
import { SECTIONS } from "./sections.ts";
import { removePods } from "./workload.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    calls: { type: "string", default: "40" },
    only: { type: "string", default: Object.keys(SECTIONS).join(",") },
    endpoint: { type: "string", multiple: true, default: [] },
    "without-containerd": { type: "boolean", default: false },
    output: { type: "string" },
  },
});

const sections = flags.only.split(",").map((name) => {
  const section = SECTIONS[name];
  if (section === undefined) {
    throw new Error(`--only ${name}: there are ${Object.keys(SECTIONS).join(", ")}`);
  }
  return { name, section };
});

await main();

async function main(): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  let failure: unknown;
  try {
    await measure(interrupted.signal);
  } catch (error) {
    failure = error;
  }
  if (failure !== undefined) console.error("The run ended early:", failure);
  Deno.exit(interrupted.signal.aborted ? 130 : failure === undefined ? 0 : 1);
}

async function measure(signal: AbortSignal): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const registry = undo.use(await startRegistry());
  say("making images");
  const images = await pushImages(registry, sections.some(({ name }) => name === "large-pull"));
  const peers: Peer[] = [];
  const add = (peer: Peer) => {
    undo.use(peer);
    undo.defer(() => removePods(peer).catch((error) => console.error(`${peer.name}:`, error)));
    peers.push(peer);
  };
  add(await startOurs(registry.address));
  if (!flags["without-containerd"]) add(await startContainerd(images.pause));
  for (const endpoint of flags.endpoint) {
    const logs = await Deno.makeTempDir({ prefix: "sauropod-bench-logs-" });
    undo.defer(() => Deno.remove(logs, { recursive: true }));
    add(namedEndpoint(endpoint, logs));
  }
  for (const { client } of peers) {
    await client.images.pullImage({ image: { image: images.shell } });
  }
  const figures = new Figures();
  const began = new Date();
  const context: BenchContext = {
    peers,
    figures,
    images,
    rounds: Number(flags.rounds),
    calls: Number(flags.calls),
    signal,
    say,
  };
  try {
    for (const { section } of sections) {
      signal.throwIfAborted();
      await section(context);
    }
  } finally {
    await report(peers, figures, began);
  }
}

async function report(peers: readonly Peer[], figures: Figures, began: Date): Promise<void> {
  const [one, , fifteen] = Deno.loadavg();
  const text = [
    `${began.toISOString()}, ${flags.rounds} rounds of ${flags.calls}; ${navigator.hardwareConcurrency} cores, ` +
    `Linux ${Deno.osRelease()}, load ${fifteen?.toFixed(1)} over 15 minutes, ${
      one?.toFixed(1)
    } at the end. ` +
    "Milliseconds unless said.",
    ...peers.map(({ name, description }) => `- ${name}: ${description}`),
    "",
    figures.table(peers.map(({ name }) => name)),
    "",
  ].join("\n");
  console.log(text);
  if (flags.output !== undefined) await Deno.writeTextFile(flags.output, text);
}

function say(text: string): void {
  console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
}
