import { InvalidArgumentError, NotFoundError } from "../../errors/mod.ts";
import {
  CLIENT_OPTIONS,
  type Command,
  type CommandContext,
  type Invocation,
  OUTPUT_OPTION,
} from "../command.ts";
import { tellNote } from "../failure.ts";
import { type ManifestFile, parseManifest } from "../manifest.ts";
import { MANIFEST_LIMIT_BYTES } from "../manifest_source.ts";
import type { PodManifest } from "../pod_manifest.ts";
import { removePod } from "../pod_removal.ts";
import { podsNamed, type RunningPod, type StartedPod, startPod } from "../pod_start.ts";
import { attendPod, initRetries } from "../pod_supervision.ts";
import { outputFormat, printStructured, shortId } from "../table.ts";

/** `sauropod play FILE` */
export const play: Command = {
  name: "play",
  usage: "[OPTIONS] FILE",
  summary: "run the pods of a Kubernetes manifest",
  description:
    "The file holds Pods, or Deployments and other controllers, of which one pod is run, " +
    "and the ConfigMaps and Secrets that they use; - reads standard input. Init containers run one " +
    "after the other, sidecars beside the rest. With --wait containers are restarted as restartPolicy " +
    "says, with delays from 1 s to a minute, until all have ended or Ctrl-C, which takes the pods " +
    "away. Without it nobody restarts them.",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    configmap: {
      type: "string",
      multiple: true,
      value: "FILE",
      summary: "more ConfigMaps and Secrets",
    },
    down: { type: "boolean", summary: "stop and remove the pods instead" },
    wait: {
      type: "boolean",
      short: "w",
      summary: "stay: show the output, restart, pass on the exit status",
    },
    rm: { type: "boolean", summary: "with --wait: remove the pods at the end" },
    replace: { type: "boolean", summary: "remove pods of the same name first" },
    quiet: { type: "boolean", short: "q", summary: "no progress of pulls" },
  },
  arguments: "file",
  positionals: [1, 1],
  async run(invocation, context) {
    const file = await readManifest(invocation.positionals[0]!, context);
    const extra: ManifestFile[] = [];
    for (const path of invocation.texts("configmap")) extra.push(await readManifest(path, context));
    const { pods, notes } = parseManifest(file, extra);
    if (pods.length === 0) {
      throw new InvalidArgumentError("The manifest holds no pod", {
        remedy: "add an object of the kind Pod or Deployment",
      });
    }
    if (invocation.flag("down")) return await down(pods, invocation, context);
    for (const note of notes) tellNote(context.terminal, note);
    return await up(pods, invocation, context);
  },
};

async function up(
  pods: readonly PodManifest[],
  invocation: Invocation,
  context: CommandContext,
): Promise<number> {
  const { terminal } = context;
  const waits = invocation.flag("wait");
  for (const pod of pods) {
    for (const note of pod.notes) tellNote(terminal, `${pod.name}: ${note}`);
    if (pod.restartPolicy !== "Never" && !waits) {
      tellNote(
        terminal,
        `${pod.name}: containers that end are not restarted; ` +
          `restartPolicy ${pod.restartPolicy} needs --wait`,
      );
    }
  }
  const format = outputFormat(invocation);
  using client = await context.connect(invocation);
  using interruption = context.interruption();
  const { signal } = interruption;
  await using undo = new AsyncDisposableStack();
  const running: RunningPod[] = [];
  for (const pod of pods) {
    const made = await startPod({
      client,
      terminal,
      pod,
      signal,
      replace: invocation.flag("replace"),
      quiet: invocation.flag("quiet"),
      ...(waits ? { mayRetry: initRetries({ terminal, signal, podName: pod.name }) } : {}),
    });
    undo.defer(() => removePod(client, asSandbox(made.started), { gracefully: true }));
    running.push(made);
    if (!waits && format === "table") terminal.out(`${line(made.started)}\n`);
  }
  printStructured(terminal, format, running.map(({ started }) => started));
  if (!waits) {
    undo.move();
    return 0;
  }
  const statuses = await Promise.all(
    running.map((pod) => attendPod({ client, terminal, pod, signal })),
  );
  if (!invocation.flag("rm") && !signal.aborted) undo.move();
  return statuses.find((status) => status !== 0) ?? 0;
}

async function down(
  pods: readonly PodManifest[],
  invocation: Invocation,
  context: CommandContext,
): Promise<number> {
  using client = await context.connect(invocation);
  for (const pod of pods) {
    for (const sandbox of await podsNamed(client, pod)) {
      await removePod(client, sandbox, { gracefully: true });
      context.terminal.out(`${pod.namespace}/${pod.name} ${shortId(sandbox.id)} removed\n`);
    }
  }
  return 0;
}

function asSandbox({ id, name, namespace, uid }: StartedPod): Parameters<typeof removePod>[1] {
  return { id, metadata: { name, namespace, uid, attempt: 0 } };
}

function line({ namespace, name, id, ip }: StartedPod): string {
  return `${namespace}/${name} ${shortId(id)}${ip === "" ? "" : ` ${ip}`}`;
}

async function readManifest(file: string, context: CommandContext): Promise<ManifestFile> {
  const text = await manifestText(file, context);
  return file === "-" ? { text } : { text, name: file };
}

async function manifestText(file: string, { terminal }: CommandContext): Promise<string> {
  if (file !== "-" && (await Deno.stat(file).catch(() => undefined))?.isDirectory) {
    throw new InvalidArgumentError(`Cannot read ${file}: it is a folder`, {
      path: file,
      remedy: "name one file, or give - and the files' content as standard input",
    });
  }
  let stream: ReadableStream<Uint8Array>;
  try {
    stream = file === "-" ? terminal.input() : (await Deno.open(file)).readable;
  } catch (error) {
    throw new NotFoundError(`Cannot read ${file}: there is no such file`, {
      path: file,
      cause: error,
    });
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MANIFEST_LIMIT_BYTES) {
      throw new InvalidArgumentError(`The manifest is longer than ${MANIFEST_LIMIT_BYTES} bytes`);
    }
  }
  return text + decoder.decode();
}
