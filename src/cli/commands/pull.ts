import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { pullImage } from "../image_pull.ts";

/** `sauropod pull IMAGE...` */
export const pull: Command = {
  name: "pull",
  usage: "[OPTIONS] IMAGE...",
  summary: "fetch images from their registries, showing progress",
  options: {
    ...CLIENT_OPTIONS,
    creds: { type: "string", value: "USER[:PASSWORD]", summary: "credentials for the registry" },
    quiet: { type: "boolean", short: "q", summary: "no progress" },
  },
  arguments: "image",
  positionals: [1, Infinity],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const creds = invocation.text("creds");
    for (const image of invocation.positionals) {
      const reference = await pullImage({
        client,
        terminal: context.terminal,
        image,
        quiet: invocation.flag("quiet"),
        ...(creds === undefined ? {} : { credentials: credentialsOf(creds) }),
      });
      context.terminal.out(`${reference}\n`);
    }
    return 0;
  },
};

function credentialsOf(text: string): { username: string; password: string } {
  const colon = text.indexOf(":");
  return colon < 0
    ? { username: text, password: "" }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
