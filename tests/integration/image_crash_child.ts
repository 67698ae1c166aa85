/**
 * The process that {@link file://./image_crash_test.ts} lets die: one operation on an image store.
 *
 * Arguments: the store's directory, the fault gates, the operation (`pull`, `load`, `remove`), its text.
 *
 * @module
 */
import { ImageBench } from "./image_bench.ts";

const [directory, gates, operation, text] = Deno.args as [string, string, string, string];
const bench = await ImageBench.open({ directory, ...(gates === "" ? {} : { gates }) });
switch (operation) {
  case "pull":
    await bench.pull(text);
    break;
  case "load":
    await bench.images.load({ path: text });
    break;
  case "remove":
    await bench.images.remove(text);
    break;
}
await bench.close();
