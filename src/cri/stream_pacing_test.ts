import assert from "node:assert/strict";
import { ContainerEventResponse, RuntimeServiceDefinition } from "../proto/mod.ts";
import { startTestServer } from "./_test_server.ts";
import { WindowedClient } from "../../tests/support/windowed_client.ts";

const EVENTS = `/${RuntimeServiceDefinition.fullName}/GetContainerEvents`;
const MESSAGE_BYTES = 32 << 10;
const WINDOW_BYTES = 65_535;

/** Messages without end, and how many were asked for. */
function endless() {
  const state = { produced: 0, ended: false };
  return {
    state,
    events: {
      async *read(): AsyncGenerator<ContainerEventResponse> {
        try {
          for (;;) {
            state.produced++;
            yield ContainerEventResponse.fromPartial({ containerId: "0".repeat(MESSAGE_BYTES) });
            await turn();
          }
        } finally {
          state.ended = true;
        }
      },
    },
  };
}

/** Of the event loop, so that what can happen without the reader has happened. */
const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!holds()) {
    assert.ok(performance.now() < end, `waited in vain until ${what}`);
    await turn(10);
  }
}

Deno.test("a stream's next message is made when the reader's window has let the last one out", async () => {
  const { state, events } = endless();
  await using started = await startTestServer({ events });
  using client = await WindowedClient.connect(started.path);
  const call = client.call(EVENTS);
  await until("the window is full", () => client.received(call) === WINDOW_BYTES);
  await turn(200);
  assert.equal(state.produced, 2, "messages for a reader that stalls");
  for (
    const [granted, produced] of [[1, 2], [MESSAGE_BYTES, 3], [10 * MESSAGE_BYTES, 13]] as const
  ) {
    const before = client.received(call);
    client.grant(call, granted);
    await until(`${granted} bytes more come`, () => client.received(call) === before + granted);
    await until("the next is made", () => state.produced === produced);
    await turn(50);
    assert.equal(state.produced, produced);
  }
});

Deno.test("a reader that takes nothing off its socket stalls the stream, however wide its window", async () => {
  const { state, events } = endless();
  await using started = await startTestServer({ events });
  using client = await WindowedClient.connect(started.path);
  client.stopReading();
  client.grant(client.call(EVENTS), 2 ** 30);
  let seen = -1;
  await until("nothing more is made", () => {
    const before = seen;
    seen = state.produced;
    return before === seen && seen > 1;
  });
  await turn(300);
  const stalledAt = state.produced;
  // What the kernel holds for the socket, and one message.
  assert.ok(
    stalledAt * MESSAGE_BYTES < (8 << 20),
    `${stalledAt} messages for a reader that stalls`,
  );
  client.readOn();
  await until("it goes on", () => state.produced > stalledAt + 10);
});

Deno.test("streams of one connection stall each for itself", async () => {
  const { events } = endless();
  await using started = await startTestServer({ events });
  using client = await WindowedClient.connect(started.path);
  const stalled = client.call(EVENTS);
  await until("the window is full", () => client.received(stalled) === WINDOW_BYTES);
  const read = client.call(EVENTS);
  for (let granted = 0; granted < 40; granted++) client.grant(read, MESSAGE_BYTES);
  // The window of the connection is what was granted: the first call took all of the standard's.
  await until("the other is read", () => client.received(read) === 40 * MESSAGE_BYTES);
  assert.equal(client.received(stalled), WINDOW_BYTES);
});

Deno.test("a stalled stream's source is let go of when its reader goes", async () => {
  const { state, events } = endless();
  await using started = await startTestServer({ events });
  {
    using client = await WindowedClient.connect(started.path);
    const call = client.call(EVENTS);
    await until("the window is full", () => client.received(call) === WINDOW_BYTES);
  }
  await until("the source is let go of", () => state.ended);
});
