/**
 * Serves until SIGTERM, with as few descriptors as its parent allows: the CRI in memory,
 * or streams of a container in memory. Says where, and then whenever clients have to wait, a line each.
 *
 * Argument: `socket` or `streams`
 *
 * @module
 */
import { startTestServer } from "../../src/cri/_test_server.ts";
import { testServer, TestService } from "../../src/streaming/_test_service.ts";
import type { Logger } from "../../src/telemetry/mod.ts";

const log: Logger = {
  debug() {},
  info() {},
  warn: (message) => console.log(message),
  error() {},
  with: () => log,
};

// Before anybody can use up what descriptors there are.
const stopped = Promise.withResolvers<void>();
Deno.addSignalListener("SIGTERM", () => stopped.resolve());
await using served = Deno.args[0] === "socket"
  ? await startTestServer({ options: { log } })
  : await testServer(new TestService(), { log });
console.log("path" in served ? served.path : served.baseUrl);
await stopped.promise;
