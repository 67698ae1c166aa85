import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { bytesText, printList, shortId } from "../table.ts";

/** `sauropod images` */
export const images: Command = {
  name: "images",
  usage: "[OPTIONS]",
  summary: "list images",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    quiet: { type: "boolean", short: "q", summary: "only ids" },
    digests: { type: "boolean", summary: "digests too" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const { images } = await client.image.listImages({});
    if (invocation.flag("quiet")) {
      context.terminal.out(images.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    const withDigests = invocation.flag("digests");
    const rows = images.flatMap((image) => {
      const names = image.repoTags.length > 0 ? image.repoTags : image.repoDigests;
      return (names.length > 0 ? names : ["<none>"]).map((name) => {
        const colon = name.includes("@") ? -1 : name.lastIndexOf(":");
        const digest = image.repoDigests[0]?.split("@")[1] ?? "";
        return [
          colon < 0 ? name.split("@")[0]! : name.slice(0, colon),
          colon < 0 ? "<none>" : name.slice(colon + 1),
          ...(withDigests ? [digest.slice(0, 19)] : []),
          shortId(image.id),
          bytesText(image.size),
        ];
      });
    });
    const header = ["IMAGE", "TAG", ...(withDigests ? ["DIGEST"] : []), "IMAGE ID", "SIZE"];
    printList(context, invocation, { header, rows, value: { images } });
    return 0;
  },
};
