import { FailedPreconditionError } from "../../errors/mod.ts";
import { ContainerState, PodSandboxState } from "../../proto/mod.ts";
import type { CriClient } from "../client.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { forEach } from "../failure.ts";
import { findContainerNotPod, findPod } from "../lookup.ts";
import { removePod } from "../pod_removal.ts";
import { shortId } from "../table.ts";

/** `sauropod rm`: containers, or pods with `--pod`. */
export const rm: Command = {
  name: "rm",
  usage: "[OPTIONS] CONTAINER...",
  summary: "remove containers, or pods with --pod",
  options: {
    ...CLIENT_OPTIONS,
    pod: { type: "boolean", short: "p", summary: "the arguments are pods" },
    force: { type: "boolean", short: "f", summary: "those that run too" },
    all: { type: "boolean", short: "a", summary: "all of them" },
  },
  arguments: "container",
  positionals: [0, Infinity],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const pods = invocation.flag("pod");
    const force = invocation.flag("force");
    let queries: readonly string[] = invocation.positionals;
    if (invocation.flag("all")) queries = await allIds(client, pods);
    else if (queries.length === 0) {
      context.terminal.error("error: Name what to remove, or give --all\n");
      return 2;
    }
    return await forEach(
      context.terminal,
      queries,
      (query) => pods ? removeOnePod(client, query, force) : removeContainer(client, query, force),
    );
  },
};

async function allIds(client: CriClient, pods: boolean): Promise<string[]> {
  const items = pods
    ? (await client.runtime.listPodSandbox({})).items
    : (await client.runtime.listContainers({})).containers;
  return items.map(({ id }) => id);
}

async function removeOnePod(client: CriClient, query: string, force: boolean): Promise<void> {
  const pod = await findPod(client, query);
  if (!force && pod.state === PodSandboxState.SANDBOX_READY) throw stillRuns("pod", pod.id);
  await removePod(client, pod);
}

async function removeContainer(client: CriClient, query: string, force: boolean): Promise<void> {
  const { id, state } = await findContainerNotPod(client, query);
  if (!force && state === ContainerState.CONTAINER_RUNNING) throw stillRuns("container", id);
  await client.runtime.removeContainer({ containerId: id }, { timeoutMs: 0 });
}

function stillRuns(what: "pod" | "container", id: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `The ${what} ${shortId(id)} runs`,
    { id, remedy: "stop it first, or give --force" },
  );
}
