import assert from "node:assert/strict";
import { type LayerReport, PullProgress } from "./pull_progress.ts";
import { plain } from "./style.ts";
import type { Terminal } from "./terminal.ts";
import { timeText, TransferRate } from "./transfer_rate.ts";

function recorder(interactive: boolean, rows = 24): { terminal: Terminal; taken(): string } {
  let text = "";
  return {
    terminal: {
      out: () => {},
      error: (more) => {
        text += typeof more === "string" ? more : new TextDecoder().decode(more);
      },
      interactive,
      size: interactive ? { columns: 100, rows } : undefined,
      paint: { out: plain, error: plain },
      input: () => new ReadableStream(),
    },
    taken() {
      const before = text;
      text = "";
      return before;
    },
  };
}

function layer(letter: string, state: LayerReport["state"], fetched: number): LayerReport {
  return {
    digest: `sha256:${letter.repeat(64)}`,
    sizeBytes: "10000000",
    fetchedBytes: String(fetched),
    state,
  };
}

Deno.test("on a terminal each layer has its bar, its rate and the time left", () => {
  const { terminal, taken } = recorder(true);
  let now = 0;
  const progress = new PullProgress({ terminal, image: "a/b:1", now: () => now });
  progress.show([layer("a", "fetching", 0), layer("b", "queued", 0), layer("c", "present", 0)]);
  assert.equal(
    taken(),
    [
      "a/b:1: 1 of 3 layers, 10.0MB of 30.0MB",
      "  aaaaaaaaaaaa  ....................  10.0MB  0B of 10.0MB",
      "  bbbbbbbbbbbb  ....................  10.0MB  waits",
      "  cccccccccccc  ####################  10.0MB  is here",
      "",
    ].join("\n"),
  );
  now = 2000;
  progress.show([
    layer("a", "fetching", 4_000_000),
    layer("b", "queued", 0),
    layer("c", "present", 0),
  ]);
  assert.equal(
    taken(),
    "\x1b[4A\r\x1b[J" + [
      "a/b:1: 1 of 3 layers, 14.0MB of 30.0MB, 2.00MB/s, 8s left",
      "  aaaaaaaaaaaa  ########............  10.0MB  4.00MB of 10.0MB, 2.00MB/s, 3s left",
      "  bbbbbbbbbbbb  ....................  10.0MB  waits",
      "  cccccccccccc  ####################  10.0MB  is here",
      "",
    ].join("\n"),
  );
  now = 2050;
  progress.show([layer("a", "fetching", 4_100_000)]);
  assert.equal(taken(), "");
  progress[Symbol.dispose]();
  assert.equal(taken(), "\x1b[4A\r\x1b[J");
});

Deno.test("of more layers than rows those that move are shown", () => {
  const { terminal, taken } = recorder(true, 6);
  const progress = new PullProgress({ terminal, image: "i", now: () => 0 });
  progress.show(
    [..."abcdef"].map((name, index) => layer(name, index === 3 ? "fetching" : "done", 5)),
  );
  assert.equal(taken().split("\n").length, 3);
});

Deno.test("where there is no terminal each layer is told once, without control characters", () => {
  const { terminal, taken } = recorder(false);
  let now = 0;
  const progress = new PullProgress({ terminal, image: "i\x1b[2J", now: () => now });
  progress.show([layer("a", "fetching", 1), layer("b", "present", 0)]);
  assert.equal(taken(), "i\ufffd[2J: layer 2 of 2, bbbbbbbbbbbb, 10.0MB: is here already\n");
  now = 61_000;
  progress.show([layer("a", "done", 1), layer("b", "present", 0)]);
  assert.equal(taken(), "i\ufffd[2J: layer 1 of 2, aaaaaaaaaaaa, 10.0MB: fetched after 1m1s\n");
  progress.show([layer("a", "done", 1), layer("b", "present", 0)]);
  progress[Symbol.dispose]();
  assert.equal(taken(), "");
});

Deno.test("TransferRate forgets what is past", () => {
  const rate = new TransferRate();
  assert.equal(rate.bytesPerSecond, 0);
  rate.add(0, 0n);
  rate.add(1000, 1000n);
  assert.equal(rate.bytesPerSecond, 1000);
  for (let second = 2; second <= 8; second++) rate.add(second * 1000, 1000n);
  assert.equal(rate.bytesPerSecond, 0);
  assert.deepEqual([0.2, 59, 60, 200, 7500].map(timeText), ["1s", "59s", "1m0s", "3m20s", "2h5m"]);
});
