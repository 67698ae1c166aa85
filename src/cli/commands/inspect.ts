import { InvalidArgumentError, NotFoundError, shown } from "../../errors/mod.ts";
import type { CriClient } from "../client.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { findContainer, findImage, findPod } from "../lookup.ts";
import { outputFormat, printStructured } from "../table.ts";

/** `sauropod inspect`: everything about pods, containers and images, as JSON. */
export const inspect: Command = {
  name: "inspect",
  usage: "[OPTIONS] ID...",
  summary: "show everything about a pod, a container or an image",
  options: {
    ...CLIENT_OPTIONS,
    output: {
      type: "string",
      short: "o",
      value: "FORMAT",
      choices: ["json", "yaml"],
      summary: "json or yaml",
    },
  },
  arguments: "container",
  positionals: [1, Infinity],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const found = [];
    for (const query of invocation.positionals) found.push(await inspected(client, query));
    const value = found.length === 1 ? found[0] : found;
    const format = outputFormat(invocation, "json");
    if (!printStructured(context.terminal, format, value)) {
      throw new InvalidArgumentError("Cannot write all of it as a table", {
        field: "output",
        remedy: "give json or yaml",
      });
    }
    return 0;
  },
};

async function inspected(client: CriClient, query: string): Promise<unknown> {
  const lookups = [
    async () => {
      const { id } = await findContainer(client, query);
      const answer = await client.runtime.containerStatus({ containerId: id, verbose: true });
      return { kind: "container", ...answer };
    },
    async () => {
      const { id } = await findPod(client, query);
      const answer = await client.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
      return { kind: "pod", ...answer };
    },
    async () => {
      if (await findImage(client, query) === undefined) throw new NotFoundError("no image");
      return {
        kind: "image",
        ...await client.image.imageStatus({ image: { image: query }, verbose: true }),
      };
    },
  ];
  for (const lookup of lookups) {
    try {
      return withReadInfo(await lookup());
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }
  throw new NotFoundError(`There is no container, pod or image ${shown(query)}`, {
    remedy: "see sauropod ps -a, sauropod pods, sauropod images",
  });
}

/** The verbose part comes as JSON texts inside JSON: unfolds them. */
function withReadInfo(
  found: { readonly kind: string; readonly info: Readonly<Record<string, string | undefined>> },
): unknown {
  const info = Object.fromEntries(
    Object.entries(found.info).map(([name, text]) => {
      try {
        return [name, JSON.parse(text ?? "")];
      } catch {
        // Not all of it is JSON.
        return [name, text];
      }
    }),
  );
  return { ...found, info };
}
