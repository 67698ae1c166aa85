/**
 * What a hostile client may send on an upgraded connection: the frames of a real one with changed
 * bytes, in chunks of any size.
 *
 * @module
 */
import assert from "node:assert/strict";
import { SpdySession } from "../../src/streaming/spdy/mod.ts";
import { mutateBytes, Random } from "./mutation.ts";

const DURATION_MS = 4_000;

/** As moby/spdystream 0.5.1 sends them; the numbers of streams fit together. */
const FRAMES = [
  "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
  "800300010000001700000003000000000000c22e555c92929907000000ffff",
  "00000003000000057468697320",
  "800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff",
  "800300060000000400000001",
  "800300010100002f00000007000000000000022563060606ce22488c67827202a301866a5071950829f98bc099ccc2c0c200000000ffff",
  "0000000301000002696e",
  "80030009000000080000000300010000",
  "8003000400000014000000020400000000000064" + "0700000000010000",
  "80030003000000080000000500000005",
  "80030007000000080000000000000000",
].map((hex) => Uint8Array.fromHex(hex));

Deno.test("SPDY sessions with mutated frames end in order, and hold nothing afterwards", async () => {
  const random = new Random(10);
  const whole = new Uint8Array(FRAMES.flatMap((frame) => [...frame]));
  let tried = 0;
  let broken = 0;
  // What the first thousand leave behind is the warming up.
  let settledBytes: number | undefined;
  for (const end = performance.now() + DURATION_MS; performance.now() < end; tried++) {
    const input = tried % 2 === 0 ? mutateBytes(whole, random) : shuffled(random);
    if (await outcomeOf(input, random) !== "left") broken++;
    if (tried === 1_000) settledBytes = Deno.memoryUsage().rss;
  }
  assert.ok(tried > 0);
  assert.ok(broken > 0 && broken < tried, `${broken} of ${tried} broke the protocol`);
  if (settledBytes !== undefined) {
    const grownMiB = (Deno.memoryUsage().rss - settledBytes) / 2 ** 20;
    // A session that stayed would keep some 40 KiB, twice what is allowed for each.
    assert.ok(grownMiB < 150 + tried / 50, `memory grew by ${grownMiB} MiB in ${tried} sessions`);
  }
});

/** Frames in any order and number, some of them changed. */
function shuffled(random: Random): Uint8Array {
  const frames = [FRAMES[0]!];
  for (let count = random.below(20); count > 0; count--) {
    const frame = random.pick(FRAMES);
    frames.push(random.below(8) === 0 ? mutateBytes(frame, random) : frame);
  }
  return new Uint8Array(frames.flatMap((frame) => [...frame]));
}

/** Feeds a session, reading and writing what it opens. Throws what nobody may throw. */
async function outcomeOf(input: Uint8Array, random: Random): Promise<"left" | "broken"> {
  let destroyed = false;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < input.length && !destroyed;) {
      const size = 1 + random.below(64);
      yield input.slice(at, at + size);
      at += size;
    }
  }
  const write = () => Promise.resolve();
  const session = new SpdySession({
    source: chunks(),
    sink: { write, writeParts: write, end: write },
    keep: () => {},
    destroy: () => void (destroyed = true),
  });
  for await (const stream of session.streams) {
    if (random.below(8) === 0) {
      stream.reset();
      continue;
    }
    stream.accept();
    // Sessions end under their streams; that must be all that these can hear of.
    void (async () => {
      for await (const bytes of stream.source) await stream.sink.write(bytes);
      await stream.sink.end();
    })().catch((error) => assert.equal(error.kind, "unavailable", error));
  }
  await session.close();
  assert.ok(destroyed);
  const reason: Error = session.signal.reason;
  assert.ok(reason instanceof Error);
  return reason.name === "SpdyProtocolError" ? "broken" : "left";
}
