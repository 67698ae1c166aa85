/**
 * Serves the CRI in memory until its standard input ends, with as few descriptors as its parent allows:
 * a line with the socket's path, then one whenever clients have to wait.
 *
 * @module
 */
import { startTestServer } from "../../src/cri/_test_server.ts";
import type { Logger } from "../../src/telemetry/mod.ts";

const log: Logger = {
  debug() {},
  info() {},
  warn: (message) => console.log(message),
  error() {},
  with: () => log,
};

await using started = await startTestServer({ options: { log } });
console.log(started.path);
for await (const _ of Deno.stdin.readable);
