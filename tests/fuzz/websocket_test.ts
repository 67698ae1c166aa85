/** What clients send in WebSockets, mutated: frames are read or the protocol is broken, soon. @module */
import assert from "node:assert/strict";
import { FrameReader, WebSocketProtocolError } from "../../src/streaming/websocket/frames.ts";
import { fuzz, mutateBytes } from "./mutation.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(" ", ""));

Deno.test("mutated WebSocket frames are read or refused, and never read as more than came", () =>
  fuzz<Uint8Array>({
    seed: 51,
    durationMs: 2_000,
    seeds: [
      bytes("81 85 37fa213d 7f9f4d5158 89 85 37fa213d 7f9f4d5158"),
      bytes("01 83 00000000 48656c 89 80 00000000 00 80 00000000 80 82 00000000 6c6f"),
      bytes("82 fe 0100 01020304" + "55".repeat(256) + "88 82 00000000 03e8"),
      bytes("82 ff 0000000000010000 01020304" + "aa".repeat(65_536) + "8a 80 00000000"),
    ],
    mutate: mutateBytes,
    act(input) {
      const whole = outcome([input.slice()]);
      const cut = outcome([input.slice(0, 7), input.slice(7, 20), input.slice(20)]);
      assert.deepEqual(cut.events, whole.events, "however it is cut");
      assert.deepEqual(cut.error?.message, whole.error?.message, "however it is cut");
      // Of a text that turns out not to be one, what came in an earlier piece has been passed on.
      if (whole.error === undefined) assert.equal(cut.dataBytes, whole.dataBytes);
      assert.ok(Math.max(cut.dataBytes, whole.dataBytes) <= input.length);
      if (whole.error !== undefined) throw whole.error;
    },
  }));

interface Outcome {
  readonly dataBytes: number;
  readonly events: readonly string[];
  readonly error?: WebSocketProtocolError;
}

function outcome(chunks: readonly Uint8Array[]): Outcome {
  const reader = new FrameReader();
  const events: string[] = [];
  let dataBytes = 0;
  try {
    for (const chunk of chunks) {
      for (const received of reader.read(chunk)) {
        if (received.kind === "data") {
          dataBytes += received.bytes.length;
          if (received.last) events.push("message");
        } else events.push(received.kind);
      }
    }
  } catch (error) {
    if (!(error instanceof WebSocketProtocolError)) throw error;
    return { dataBytes, events, error };
  }
  return { dataBytes, events };
}
