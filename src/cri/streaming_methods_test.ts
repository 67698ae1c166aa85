import assert from "node:assert/strict";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  ResourceExhaustedError,
} from "../errors/mod.ts";
import { parseContainerId, parseSandboxId } from "../model/mod.ts";
import type { CallContext } from "./methods.ts";
import { streamingMethods } from "./streaming_methods.ts";

const CONTAINER = parseContainerId("c".repeat(64));
const SANDBOX = parseSandboxId("5".repeat(64));
const context = {} as CallContext;

function methods({ terminal = false, obstacle = undefined as Error | undefined } = {}) {
  const given: unknown[] = [];
  const give = (...what: unknown[]) => {
    given.push(what);
    return "http://127.0.0.1:1/exec/token";
  };
  const check = () => {
    if (obstacle !== undefined) throw obstacle;
  };
  const made = streamingMethods({
    service: {
      checkExec: () => (check(), CONTAINER),
      checkAttach: () => (check(), { container: CONTAINER, terminal }),
      checkPortForward: () => (check(), SANDBOX),
    },
    urls: { exec: give, attach: give, portForward: give },
  });
  return { ...made, given };
}

const STREAMS = { tty: false, stdin: false, stdout: true, stderr: true };
const EXEC = { containerId: "cc", cmd: ["sh"], ...STREAMS };

Deno.test("exec gives a URL for the full id and what was asked for", () => {
  const { exec, given } = methods();
  assert.deepEqual(exec(EXEC, context), { url: "http://127.0.0.1:1/exec/token" });
  assert.deepEqual(given, [[
    { container: CONTAINER, args: ["sh"], terminal: false },
    { stdin: false, stdout: true, stderr: true, terminal: false },
  ]]);
});

Deno.test("exec refuses what cannot be and names the field", () => {
  const { exec, given } = methods();
  for (
    const [request, field] of [
      [{ ...EXEC, containerId: "" }, "container_id"],
      [{ ...EXEC, cmd: [] }, "cmd"],
      [{ ...EXEC, cmd: ["sh\0"] }, "cmd[0]"],
      [{ ...EXEC, tty: true }, "stderr"],
      [{ ...EXEC, stdout: false, stderr: false }, "stdin, stdout and stderr"],
    ] as const
  ) {
    assert.throws(
      () => exec({ ...request, cmd: [...request.cmd] }, context),
      (error) => error instanceof InvalidArgumentError && error.details.field === field,
      field,
    );
  }
  assert.deepEqual(given, []);
});

Deno.test("attach compares the terminal with the container's", () => {
  const request = { containerId: "cc", ...STREAMS, stderr: false };
  assert.ok(methods({ terminal: true }).attach({ ...request, tty: true }, context));
  for (const [terminal, tty] of [[true, false], [false, true]] as const) {
    assert.throws(
      () => methods({ terminal }).attach({ ...request, tty }, context),
      (error) => error instanceof InvalidArgumentError && error.details.field === "tty",
    );
  }
});

Deno.test("no URL is given for what could not be had now", () => {
  const obstacle = new FailedPreconditionError("container is exited");
  const { exec, attach, portForward, given } = methods({ obstacle });
  assert.throws(() => exec(EXEC, context), obstacle);
  assert.throws(() => attach({ containerId: "cc", ...STREAMS }, context), obstacle);
  assert.throws(() => portForward({ podSandboxId: "55", port: [] }, context), obstacle);
  assert.deepEqual(given, []);
});

Deno.test("portForward takes ports of TCP, and as many as a session has channels for", () => {
  const { portForward } = methods();
  const forward = (port: number[]) => portForward({ podSandboxId: "55", port }, context);
  assert.ok(forward([]));
  assert.ok(forward([1, 65_535]));
  assert.ok(forward(new Array(127).fill(80)));
  assert.throws(() => forward([0]), InvalidArgumentError);
  assert.throws(() => forward([65_536]), InvalidArgumentError);
  assert.throws(() => forward([-1]), InvalidArgumentError);
  assert.throws(() => forward(new Array(128).fill(80)), ResourceExhaustedError);
});
