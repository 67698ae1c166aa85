/** A worker for the tests of worker_channel.ts and worker_pool.ts. @module */
import process from "node:process";
import { NotFoundError, SyscallError } from "../../errors/mod.ts";
import { serveWorker, workerData } from "../worker_host.ts";

export type EchoOperations = {
  echo: { request: string; reply: { text: string; data: unknown; pid: number } };
  fail: { request: "domain" | "syscall" | "plain"; reply: never };
  die: { request: "throw" | "exit"; reply: never };
  hold: { request: null; reply: string };
  count: { request: number; reply: number; event: number };
  bytes: { request: Uint8Array<ArrayBuffer>; reply: Uint8Array<ArrayBuffer> };
  retire: { request: null; reply: string };
  ask: { request: string; reply: string; question: string; answer: string };
};

let calls = 0;

serveWorker<EchoOperations>({
  echo: (text) => ({ text, data: workerData(), pid: ++calls }),
  fail: (how) => {
    if (how === "domain") {
      throw new NotFoundError("No such thing", { field: "thing", cause: new Error("deeper") });
    }
    if (how === "syscall") throw new SyscallError("open", 2, "ENOENT", '"/x"', { path: "/x" });
    throw new TypeError("plain");
  },
  die: (how) => {
    if (how === "exit") process.exit(7);
    queueMicrotask(() => {
      throw new Error("uncaught on purpose");
    });
    return new Promise(() => {});
  },
  hold: (_, { signal }) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve("cancelled"))),
  count: (upTo, { emit }) => {
    for (let i = 1; i <= upTo; i++) emit(i);
    return upTo;
  },
  bytes: (bytes, { transfer }) => {
    bytes[0] = 42;
    transfer(bytes.buffer);
    return bytes;
  },
  ask: async (name, { ask }) => `${await ask(`who is ${name}`)}, ${await ask("and then")}`,
  retire: (_, { retire }) => {
    retire();
    return "retiring";
  },
});
