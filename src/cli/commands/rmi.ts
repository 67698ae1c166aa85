import { NotFoundError, shown } from "../../errors/mod.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { forEach } from "../failure.ts";
import { findImage } from "../lookup.ts";

/** `sauropod rmi IMAGE...` */
export const rmi: Command = {
  name: "rmi",
  usage: "[OPTIONS] IMAGE...",
  summary: "remove images by name or id",
  options: {
    ...CLIENT_OPTIONS,
    all: { type: "boolean", short: "a", summary: "every image" },
    prune: { type: "boolean", summary: "every image that no container uses" },
  },
  arguments: "image",
  positionals: [0, Infinity],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const { terminal } = context;
    const prune = invocation.flag("prune");
    let names: readonly string[] = invocation.positionals;
    if (invocation.flag("all") || prune) {
      const { images } = await client.image.listImages({});
      const { containers } = prune ? await client.runtime.listContainers({}) : { containers: [] };
      const used = new Set(containers.map(({ imageId }) => imageId));
      names = images.filter(({ id, pinned }) => !prune || (!used.has(id) && !pinned))
        .map(({ id }) => id);
    } else if (names.length === 0) {
      terminal.error("error: Name the images to remove, or give --all or --prune\n");
      return 2;
    }
    return await forEach(terminal, names, async (name) => {
      if (await findImage(client, name) === undefined) {
        throw new NotFoundError(`There is no image ${shown(name)}`, {
          value: name,
          remedy: "see sauropod images",
        });
      }
      await client.image.removeImage({ image: { image: name } });
    });
  },
};
