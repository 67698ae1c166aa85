import { InvalidArgumentError, NotFoundError } from "../../errors/mod.ts";
import {
  CLIENT_OPTIONS,
  type Command,
  type CommandContext,
  type Invocation,
  OUTPUT_OPTION,
} from "../command.ts";
import { MANIFEST_LIMIT_BYTES, parsePodManifests, type PodManifest } from "../pod_manifest.ts";
import { removePod } from "../pod_removal.ts";
import { podsNamed, type StartedPod, startPod } from "../pod_start.ts";
import { attendPod } from "../pod_wait.ts";
import { json } from "../json_output.ts";
import { outputFormat, shortId } from "../table.ts";

/** `sauropod play FILE` */
export const play: Command = {
  name: "play",
  usage: "[OPTIONS] FILE",
  summary: "run the pods of a Kubernetes manifest",
  description: "The file holds Pod objects, - reads standard input. Containers are started once: " +
    "restartPolicy asks for a kubelet.",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    down: { type: "boolean", summary: "stop and remove the pods instead" },
    wait: { type: "boolean", short: "w", summary: "show the output, pass the exit status on" },
    rm: { type: "boolean", summary: "with --wait: remove the pods at the end" },
    replace: { type: "boolean", summary: "remove pods of the same name first" },
    quiet: { type: "boolean", short: "q", summary: "no progress of pulls" },
  },
  positionals: [1, 1],
  async run(invocation, context) {
    const pods = parsePodManifests(await manifestText(invocation.positionals[0]!, context));
    if (pods.length === 0) throw new InvalidArgumentError("The manifest holds no pod");
    if (invocation.flag("down")) return await down(pods, invocation, context);
    return await up(pods, invocation, context);
  },
};

async function up(
  pods: readonly PodManifest[],
  invocation: Invocation,
  context: CommandContext,
): Promise<number> {
  const { terminal } = context;
  for (const pod of pods) {
    for (const path of pod.ignored) terminal.error(`note: ${pod.name}: ${path} is not used here\n`);
    if (pod.restartPolicy !== "Never") {
      terminal.error(
        `note: ${pod.name}: containers are not restarted, whatever restartPolicy says\n`,
      );
    }
  }
  const format = outputFormat(invocation);
  const waits = invocation.flag("wait");
  using client = await context.connect(invocation);
  using interruption = context.interruption();
  const { signal } = interruption;
  await using undo = new AsyncDisposableStack();
  const started: StartedPod[] = [];
  for (const pod of pods) {
    const made = await startPod({
      client,
      terminal,
      pod,
      signal,
      replace: invocation.flag("replace"),
      quiet: invocation.flag("quiet"),
    });
    undo.defer(() => removePod(client, asSandbox(made)));
    started.push(made);
    if (!waits && format === "table") terminal.out(`${line(made)}\n`);
  }
  if (format === "json") terminal.out(json(started));
  if (!waits) {
    undo.move();
    return 0;
  }
  const statuses = await Promise.all(
    started.map((pod) => attendPod(client, terminal, pod, signal)),
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
      await removePod(client, sandbox);
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
