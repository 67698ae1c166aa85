import { FailedPreconditionError, NotFoundError } from "../../errors/mod.ts";
import { serverMessage } from "../failure.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";

/** Takes an archive as the body, or `path` of one on this node; answers one JSON line an image. */
const LOAD_PATH = "/v1/images/load";

/** `sauropod load [FILE]` */
export const load: Command = {
  name: "load",
  usage: "[OPTIONS] [FILE]",
  summary: "take images from an archive: a file, a folder, or standard input",
  description: "An OCI layout (folder or tar) or a docker archive.",
  options: {
    ...CLIENT_OPTIONS,
    input: { type: "string", short: "i", value: "FILE", summary: "the same as the argument" },
    name: { type: "string", short: "n", value: "NAME", summary: "for an image without a name" },
  },
  arguments: "file",
  positionals: [0, 1],
  async run(invocation, context) {
    const file = invocation.text("input") ?? invocation.positionals[0] ?? "-";
    using client = await context.connect(invocation);
    const query = new URLSearchParams();
    const name = invocation.text("name");
    if (name !== undefined) query.set("reference", name);
    if (file !== "-") query.set("path", await absolutePath(file));
    const answer = client.lines({
      method: "POST",
      path: `${LOAD_PATH}?${query}`,
      ...(file === "-" ? { body: context.terminal.input() } : {}),
    });
    for await (const line of answer) {
      const { image, error } = JSON.parse(line) as {
        image?: { id: string; repoTags: readonly string[] };
        error?: string;
      };
      if (error !== undefined) throw new FailedPreconditionError(...serverMessage(error));
      if (image !== undefined) context.terminal.out(`${image.repoTags[0] ?? image.id}\n`);
    }
    return 0;
  },
};

/** The server has another working directory. */
async function absolutePath(file: string): Promise<string> {
  try {
    return await Deno.realPath(file);
  } catch (error) {
    throw new NotFoundError(`Cannot load ${file}: there is no such file`, {
      path: file,
      cause: error,
    });
  }
}
