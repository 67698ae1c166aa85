/** What is measured, one function a section. Each leaves its peers without pods. @module */
import { createLinuxKernel, ProcTable } from "../src/sys/mod.ts";
import { NamespaceMode } from "../src/proto/mod.ts";
import { PodState } from "../src/state/mod.ts";
import { type BenchContext, inTurns, roundsOf, type Section } from "./context.ts";
import { Figures } from "./figures.ts";
import { floods } from "./floods.ts";
import { memoryOf } from "./memory.ts";
import type { Peer } from "./peer.ts";
import { streams } from "./streams.ts";
import {
  atOnce,
  containerConfig,
  createContainer,
  type PidMode,
  podConfig,
  removePods,
  runSandbox,
  startPod,
} from "./workload.ts";

export const SECTIONS: Readonly<Record<string, Section>> = {
  calls: (context) => lifeCycle(context, NamespaceMode.CONTAINER),
  "calls-pid-pod": (context) => lifeCycle(context, NamespaceMode.POD),
  pulls: smallPulls,
  "large-pull": largePulls,
  load: underLoad,
  lists: realLists,
  "fifty-pods": fiftyPods,
  records: recordedLists,
  streams,
  floods,
};

/** One pod after the other, the peers taking turns. */
async function lifeCycle(context: BenchContext, pid: PidMode): Promise<void> {
  const { peers, calls } = context;
  // The first pod pays for what all others find warm.
  for (const peer of peers) await onePod({ ...context, figures: new Figures() }, peer, pid);
  for (const round of roundsOf(context)) {
    context.say(`calls${inMode(pid)}, round ${round}`);
    for (let call = 0; call < calls; call++) {
      for (const peer of inTurns(peers, call)) await onePod(context, peer, pid);
    }
  }
}

/** Rows of one mode are compared with those of the same mode. */
function inMode(pid: PidMode): string {
  return pid === NamespaceMode.POD ? ", PID namespace of the pod" : "";
}

async function onePod(
  { figures, images, signal }: BenchContext,
  peer: Peer,
  pid: PidMode,
): Promise<void> {
  signal.throwIfAborted();
  const { runtime, images: imageCalls } = peer.client;
  const time = <T>(row: string, work: () => Promise<T>) =>
    figures.time(`${row}${inMode(pid)}`, peer.name, work);
  const config = podConfig(peer, pid);
  const pod = await time("RunPodSandbox", () => runSandbox(peer, config));
  const podSandboxId = pod.sandbox;
  const began = performance.now();
  const containerId = await time(
    "CreateContainer",
    () => createContainer(peer, pod, containerConfig(images.shell, { pid })),
  );
  await time("StartContainer", () => runtime.startContainer({ containerId }));
  figures.add(
    `CreateContainer + StartContainer${inMode(pid)}`,
    peer.name,
    performance.now() - began,
  );
  await time("ExecSync", () => runtime.execSync({ containerId, cmd: ["/bin/true"], timeout: 10n }));
  await time("ContainerStatus", () => runtime.containerStatus({ containerId }));
  await time("PodSandboxStatus", () => runtime.podSandboxStatus({ podSandboxId }));
  await time("ListImages", () => imageCalls.listImages({}));
  await time("StopContainer", () => runtime.stopContainer({ containerId, timeout: 10n }));
  await time("RemoveContainer", () => runtime.removeContainer({ containerId }));
  await time("StopPodSandbox", () => runtime.stopPodSandbox({ podSandboxId }));
  await time("RemovePodSandbox", () => runtime.removePodSandbox({ podSandboxId }));
}

async function smallPulls(context: BenchContext): Promise<void> {
  const calls = Math.max(1, Math.round(context.calls / 4));
  await pulls(context, "PullImage, 8 MB in 3 layers", context.images.small, calls);
}

async function largePulls(context: BenchContext): Promise<void> {
  const { large } = context.images;
  if (large === undefined) return;
  await pulls(context, "PullImage, 1.28 GB, 56,000 files", large, 1);
}

async function pulls(
  context: BenchContext,
  row: string,
  image: string,
  calls: number,
): Promise<void> {
  for (const round of roundsOf(context)) {
    context.say(`${row}, round ${round}`);
    for (let call = 0; call < calls; call++) {
      for (const peer of inTurns(context.peers, call + round)) {
        context.signal.throwIfAborted();
        const { images } = peer.client;
        await context.figures.time(
          row,
          peer.name,
          () => images.pullImage({ image: { image } }, { timeoutMs: 600_000 }),
        );
        await images.removeImage({ image: { image } }, { timeoutMs: 600_000 });
      }
    }
  }
}

const PODS_AT_ONCE = 10;
const EXECS_AT_ONCE = 8;
const EXECS = 200;

/** How much is done in a second when several ask at once. */
async function underLoad(context: BenchContext): Promise<void> {
  const { figures, images } = context;
  for (const round of roundsOf(context)) {
    for (const peer of inTurns(context.peers, round)) {
      context.signal.throwIfAborted();
      context.say(`${peer.name} under load, round ${round}`);
      const { runtime } = peer.client;
      const rate = async (row: string, count: number, work: () => Promise<void>) => {
        const began = performance.now();
        await work();
        figures.add(row, peer.name, count * 1000 / (performance.now() - began));
      };
      const sandboxes = Array.from({ length: PODS_AT_ONCE * 3 }, () => podConfig(peer));
      await rate(
        `RunPodSandbox a second, ${PODS_AT_ONCE} at once`,
        sandboxes.length,
        () =>
          atOnce(PODS_AT_ONCE, sandboxes, async (config) => void await runSandbox(peer, config)),
      );
      await removePods(peer);
      const pods = Array.from({ length: PODS_AT_ONCE * 2 }, (_, index) => index);
      await rate(
        `Pods with a started container a second, ${PODS_AT_ONCE} at once`,
        pods.length,
        () => atOnce(PODS_AT_ONCE, pods, async () => void await startPod(peer, images.shell)),
      );
      await removePods(peer);
      const pod = await runSandbox(peer, podConfig(peer));
      const containerId = await createContainer(peer, pod, containerConfig(images.shell));
      await runtime.startContainer({ containerId });
      await rate(
        `ExecSync a second, ${EXECS_AT_ONCE} at once`,
        EXECS,
        () =>
          atOnce(EXECS_AT_ONCE, Array(EXECS).keys(), async () => {
            await runtime.execSync({ containerId, cmd: ["/bin/true"], timeout: 10n });
          }),
      );
      await removePods(peer);
    }
  }
}

const LIST_PODS = 10;
const CONTAINERS_A_POD = 10;

/** A list of 100 running containers. */
async function realLists(context: BenchContext): Promise<void> {
  const { images, peers, signal } = context;
  for (const peer of peers) {
    context.say(`${peer.name}: 100 containers`);
    await atOnce(2, Array(LIST_PODS).keys(), async () => {
      const pod = await runSandbox(peer, podConfig(peer));
      for (let index = 0; index < CONTAINERS_A_POD; index++) {
        signal.throwIfAborted();
        const config = containerConfig(images.shell, { name: `c${index}` });
        const containerId = await createContainer(peer, pod, config);
        await peer.client.runtime.startContainer({ containerId });
      }
    });
  }
  await timeLists(context, "ListContainers, 100 running", LIST_PODS * CONTAINERS_A_POD);
  for (const peer of peers) await removePods(peer);
}

async function timeLists(context: BenchContext, row: string, expected: number): Promise<void> {
  for (const _ of roundsOf(context)) {
    for (let call = 0; call < context.calls; call++) {
      for (const peer of inTurns(context.peers, call)) {
        context.signal.throwIfAborted();
        const { containers } = await context.figures.time(
          row,
          peer.name,
          () => peer.client.runtime.listContainers({}),
        );
        if (containers.length < expected) {
          throw new Error(`${peer.name} lists ${containers.length} of ${expected} containers`);
        }
      }
    }
  }
}

const FIFTY = 50;

/** Memory without and with pods, and how soon a killed server answers with all of them. */
async function fiftyPods(context: BenchContext): Promise<void> {
  const { figures, images, peers, signal } = context;
  for (const peer of peers) {
    const { process } = peer;
    if (process === undefined) continue;
    const memory = async (when: string) => {
      await settled();
      const { serverMiB, monitorsMiB } = await memoryOf(process);
      figures.add(`Memory, ${when}: server, MiB`, peer.name, serverMiB);
      figures.add(`Memory, ${when}: monitors or shims, MiB`, peer.name, monitorsMiB);
      figures.add(`Memory, ${when}: together, MiB`, peer.name, serverMiB + monitorsMiB);
    };
    context.say(`${peer.name}: 50 pods`);
    await memory("after the calls above, no pod");
    await process.restartAfter(() => Promise.resolve());
    await memory("started again, no pod");
    await atOnce(2, Array(FIFTY).keys(), async () => {
      signal.throwIfAborted();
      await startPod(peer, images.shell);
    });
    await memory("50 pods");
    for (const round of roundsOf(context)) {
      figures.round = round;
      await process.restart();
      await figures.time(
        "Answer after kill -9 with 50 pods",
        peer.name,
        () => listed(peer, FIFTY, AbortSignal.any([signal, AbortSignal.timeout(60_000)])),
      );
      await settled();
    }
    await memory("50 pods, after kill -9");
    await removePods(peer);
  }
}

/** Asks until the server is back and shows everything. */
async function listed({ client }: Peer, count: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const { containers } = await client.runtime.listContainers({}, { timeoutMs: 10_000 });
      if (containers.length >= count) return;
    } catch {
      // Nobody answers yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const RECORDED = 1000;

/**
 * A list of 1,000 containers that do not run: ours are rows in the record, put there while the server
 * is away; others get containers that are created and never started.
 */
async function recordedLists(context: BenchContext): Promise<void> {
  const { images, peers, signal, figures } = context;
  for (const peer of peers) {
    context.say(`${peer.name}: ${RECORDED} recorded containers`);
    const pod = await runSandbox(peer, podConfig(peer));
    if (peer.records !== undefined && peer.process !== undefined) {
      const containerId = await createContainer(
        peer,
        pod,
        containerConfig(images.shell, { script: "exit 0" }),
      );
      await peer.client.runtime.startContainer({ containerId });
      await peer.client.runtime.stopContainer({ containerId, timeout: 1n });
      await settled();
      const database = peer.records;
      await peer.process.restartAfter(() => multiplyRecord(database, containerId));
    } else {
      await atOnce(4, Array(RECORDED).keys(), async (index) => {
        signal.throwIfAborted();
        await createContainer(peer, pod, containerConfig(images.shell, { name: `c${index}` }));
      });
    }
  }
  await timeLists(context, "ListContainers, 1,000 recorded", RECORDED);
  figures.note(
    "1,000 recorded: ours are records of ended containers, those of others created ones that were never started.",
  );
}

/** Enters copies of an ended container under other ids. */
async function multiplyRecord(database: string, id: string): Promise<void> {
  const { bootId } = new ProcTable(createLinuxKernel());
  await using state = PodState.open({ path: database, bootId });
  const original = state.containers.get(id);
  if (original === undefined) throw new Error(`container ${id} is not recorded`);
  const text = JSON.stringify(original);
  state.transaction(({ containers }) => {
    for (let index = 0; index < RECORDED; index++) {
      const copy = crypto.getRandomValues(new Uint8Array(32)).toHex();
      containers.put(copy, JSON.parse(text.replaceAll(id, copy)));
    }
  });
}

const SETTLING_MS = 3000;

/** Long enough for what a server does behind its answers. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLING_MS));
}
