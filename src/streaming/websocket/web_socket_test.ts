import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { Connection } from "../connection.ts";
import { WebSocket } from "./web_socket.ts";

/** An empty frame of a client. */
const frames = { pings: [0x89, 0x80, 0, 0, 0, 0], messages: [0x82, 0x80, 0, 0, 0, 0] };

for (const [what, frame] of Object.entries(frames)) {
  Deno.test(`WebSocket: a flood of ${what} lets others have their turn`, async () => {
    const count = 5_000;
    const sent = [new Uint8Array(Array(count).fill(frame).flat())];
    let answers = 0;
    const connection = new Connection({
      read: () => Promise.resolve(sent.pop()),
      keep: () => {},
      write: () => {
        answers++;
        return Promise.resolve(true);
      },
      endWriting: () => {},
      close: () => {},
    });
    let turns = 0;
    let over = false;
    const tick = () => {
      turns++;
      if (!over) setImmediate(tick);
    };
    setImmediate(tick);
    let pieces = 0;
    await new WebSocket(connection).receive(() => {
      pieces++;
      return undefined;
    });
    over = true;
    assert.deepEqual([answers, pieces], what === "pings" ? [count, 0] : [0, count]);
    assert.ok(turns >= count / 256 - 2, `${turns} turns`);
  });
}
