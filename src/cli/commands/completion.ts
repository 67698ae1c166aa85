import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import type { CriClient } from "../client.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { completionScript, NAMES_COMMAND, type Shell, SHELLS } from "../completion.ts";

/** `sauropod completion [SHELL]`. */
export const completion: Command = {
  name: "completion",
  aliases: ["complete"],
  usage: "[bash|zsh|fish]",
  summary: "print the completion script of a shell (bash)",
  description: "For bash: sauropod completion bash >/etc/bash_completion.d/sauropod; " +
    "for zsh: a file _sauropod in a folder of $fpath; " +
    "for fish: ~/.config/fish/completions/sauropod.fish.",
  options: {},
  arguments: "shell",
  positionals: [0, 1],
  run(invocation, { terminal, commands }) {
    const [shell = "bash"] = invocation.positionals;
    if (!isShell(shell)) {
      throw new InvalidArgumentError(`There is no completion for ${shown(shell)}`, {
        value: shell,
        remedy: `give ${SHELLS.join(", ")}`,
      });
    }
    terminal.out(completionScript(shell, commands));
    return Promise.resolve(0);
  },
};

function isShell(text: string): text is Shell {
  return (SHELLS as readonly string[]).includes(text);
}

/** What completion scripts ask; prints nothing where nobody answers. */
export const names: Command = {
  name: NAMES_COMMAND,
  usage: "pod|container|image",
  summary: "print names for completion scripts",
  hidden: true,
  options: CLIENT_OPTIONS,
  positionals: [1, 1],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const found = new Set(await namesOf(client, invocation.positionals[0]!));
    // Only what needs no quoting in any shell.
    const plain = [...found].filter((name) => /^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/.test(name)).sort();
    context.terminal.out(plain.map((name) => `${name}\n`).join(""));
    return 0;
  },
};

async function namesOf(client: CriClient, kind: string): Promise<string[]> {
  switch (kind) {
    case "pod": {
      const { items } = await client.runtime.listPodSandbox({});
      return items.map(({ metadata }) => metadata?.name ?? "");
    }
    case "container": {
      const { containers } = await client.runtime.listContainers({});
      return containers.map(({ metadata }) => metadata?.name ?? "");
    }
    case "image": {
      const { images } = await client.image.listImages({});
      return images.flatMap(({ repoTags }) => repoTags);
    }
    default:
      return [];
  }
}
