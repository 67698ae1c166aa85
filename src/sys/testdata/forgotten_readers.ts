/** Prints how many of a hundred readers are kept that were destroyed right after their end. */
import { once } from "node:events";
import { adoptReader } from "../adopted.ts";
import { createLinuxKernel } from "../linux.ts";

const READERS = 100;
/** The last may still be on a stack. */
const FEW = 5;

const kernel = createLinuxKernel();
const readers: WeakRef<object>[] = [];

async function round(): Promise<void> {
  const { read, write } = kernel.pipe2(0);
  const reader = adoptReader(read);
  readers.push(new WeakRef(reader));
  reader.resume();
  kernel.write(write.number, Uint8Array.of(1));
  write.close();
  await once(reader, "end");
  reader.destroy();
}

for (let count = 0; count < READERS; count++) await round();
const kept = () => readers.filter((reader) => reader.deref() !== undefined).length;
let left = READERS;
for (let turn = 0; turn < 100 && left > FEW; turn++) {
  // What was looked at is kept to the end of the turn.
  await new Promise((resolve) => setTimeout(resolve, 10));
  (globalThis as unknown as { gc: () => void }).gc();
  left = kept();
}
console.log(left <= FEW ? "forgotten" : `${left} of ${READERS} are kept`);
