import assert from "node:assert/strict";
import { FrameScanner, StreamProgress } from "./outgoing_frames.ts";

function frame(type: number, streamId: number, payload: number): number[] {
  const header = new DataView(new ArrayBuffer(9));
  header.setUint32(0, payload << 8);
  header.setUint8(3, type);
  header.setUint32(5, streamId);
  return [...new Uint8Array(header.buffer), ...new Array(payload).fill(0xff)];
}

const CONNECTION = Uint8Array.from([
  ...frame(4, 0, 6),
  ...frame(1, 1, 20),
  ...frame(0, 1, 300),
  ...frame(0, 0x7fff_fffe, 2),
  ...frame(0, 1, 0),
  ...frame(8, 0, 4),
  ...frame(0, 1, 70_000),
  ...frame(1, 1, 5),
]);

Deno.test("the payload of DATA frames is told for each stream, wherever the bytes are cut", () => {
  for (const size of [1, 2, 8, 9, 10, 256, CONNECTION.length]) {
    const scanner = new FrameScanner();
    const totals = new Map<number, number>();
    for (let at = 0; at < CONNECTION.length; at += size) {
      for (const { streamId, payload } of scanner.scan(CONNECTION.subarray(at, at + size))) {
        totals.set(streamId, (totals.get(streamId) ?? 0) + payload.length);
      }
    }
    assert.deepEqual([...totals], [[1, 70_300], [0x7fff_fffe, 2]], `pieces of ${size}`);
  }
});

Deno.test("progress that was made before anybody waits counts, and who waits can give up", async () => {
  const progress = new StreamProgress();
  const controller = new AbortController();
  progress.advance(10);
  await progress.reach(10, controller.signal);
  let reached = false;
  const waiting = progress.reach(20, controller.signal).then(() => reached = true);
  progress.advance(9);
  await new Promise((resolve) => setTimeout(resolve));
  assert.ok(!reached);
  progress.advance(1);
  await waiting;
  await assert.rejects(progress.reach(21, controller.signal, 1), /not taken a message in 0.001 s/);
  const never = progress.reach(21, controller.signal);
  controller.abort(new Error("gone"));
  await assert.rejects(never, /gone/);
  await assert.rejects(progress.reach(1, controller.signal), /gone/);
});
