import type { Command } from "../command.ts";
import { manualPage, markdownReference } from "../reference.ts";

/** `sauropod man`. */
export const man: Command = {
  name: "man",
  usage: "",
  summary: "print the manual page",
  description: "For example: sauropod man >/usr/local/share/man/man8/sauropod.8.",
  options: {},
  positionals: [0, 0],
  run(_, { terminal, commands, version }) {
    terminal.out(manualPage(commands, version));
    return Promise.resolve(0);
  },
};

/** `sauropod markdown`: what `docs/commands.md` holds. */
export const markdown: Command = {
  name: "markdown",
  aliases: ["md"],
  usage: "",
  summary: "print the reference of all commands as Markdown",
  options: {},
  positionals: [0, 0],
  run(_, { terminal, commands }) {
    terminal.out(markdownReference(commands));
    return Promise.resolve(0);
  },
};
