import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  shown,
} from "../../errors/mod.ts";
import type { Container } from "../../proto/mod.ts";
import type { CriClient } from "../client.ts";
import { newerThan, sinceOf } from "../log_since.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { findContainerOrOnly } from "../lookup.ts";
import { hasEnded } from "../container_end.ts";
import { writeEntries } from "../log_output.ts";
import { readLog } from "../container_log.ts";

/** `sauropod logs [-f] CONTAINER` */
export const logs: Command = {
  name: "logs",
  usage: "[OPTIONS] CONTAINER|POD",
  summary: "show what a container has written",
  options: {
    ...CLIENT_OPTIONS,
    follow: { type: "boolean", short: "f", summary: "go on until the container ends" },
    timestamps: { type: "boolean", short: "t", summary: "the time of each line" },
    tail: { type: "string", value: "LINES", summary: "only the last lines; all, or -1, for all" },
    since: {
      type: "string",
      value: "TIME",
      summary: "only what is newer: 10m, or 2026-01-31T12:00:00Z",
    },
    previous: { type: "boolean", short: "p", summary: "of the attempt before this one" },
  },
  arguments: "container",
  positionals: [1, 1],
  async run(invocation, context) {
    const tail = tailOf(invocation.text("tail"));
    const since = sinceOf(invocation.text("since"), Date.now());
    using client = await context.connect(invocation);
    const found = await findContainerOrOnly(client, invocation.positionals[0]!);
    const { id } = invocation.flag("previous") ? await attemptBefore(client, found) : found;
    const { status } = await client.runtime.containerStatus({ containerId: id });
    const path = status?.logPath ?? "";
    if (path === "") {
      throw new FailedPreconditionError(`The container ${shown(id)} has no log`, { id });
    }
    const entries = readLog({
      path,
      ...(tail === undefined ? {} : { tail }),
      ...(invocation.flag("follow") ? { until: () => hasEnded(client, id) } : {}),
    });
    await writeEntries(
      context.terminal,
      since === undefined ? entries : newerThan(entries, since),
      { timestamps: invocation.flag("timestamps") },
    );
    return 0;
  },
};

function tailOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "all" || text === "-1") return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`--tail ${shown(text)} is no number of lines`, {
    field: "tail",
    value: text,
  });
}

/** @throws {NotFoundError} there was none, or it has been removed */
async function attemptBefore(client: CriClient, container: Container): Promise<Container> {
  const { containers } = await client.runtime.listContainers({
    filter: { podSandboxId: container.podSandboxId },
  });
  const { name = "", attempt = 0 } = container.metadata ?? {};
  const [before] = containers
    .filter(({ metadata }) => metadata?.name === name && metadata.attempt < attempt)
    .sort((left, right) => right.metadata!.attempt - left.metadata!.attempt);
  if (before !== undefined) return before;
  throw new NotFoundError(`There is no attempt of ${shown(name)} before ${attempt}`, {
    remedy: "leave --previous out; see sauropod ps -a",
  });
}
