import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import * as errors from "../errors/mod.ts";
import { grpcStatus } from "./grpc_status.ts";

const CODES: readonly [new (message: string) => Error, status][] = [
  [errors.InvalidArgumentError, status.INVALID_ARGUMENT],
  [errors.NotFoundError, status.NOT_FOUND],
  [errors.AlreadyExistsError, status.ALREADY_EXISTS],
  [errors.FailedPreconditionError, status.FAILED_PRECONDITION],
  [errors.ResourceExhaustedError, status.RESOURCE_EXHAUSTED],
  [errors.PermissionDeniedError, status.PERMISSION_DENIED],
  [errors.UnauthenticatedError, status.UNAUTHENTICATED],
  [errors.UnavailableError, status.UNAVAILABLE],
  [errors.CancelledError, status.CANCELLED],
  [errors.DeadlineExceededError, status.DEADLINE_EXCEEDED],
  [errors.UnimplementedError, status.UNIMPLEMENTED],
  [errors.InternalError, status.INTERNAL],
];

Deno.test("Each kind of domain error has its code and is foreseen", () => {
  for (const [ErrorClass, code] of CODES) {
    assert.deepEqual(grpcStatus(new ErrorClass("Could not")), {
      code,
      details: "Could not",
      foreseen: true,
    });
  }
});

Deno.test("A failed system call has the code of its errno", () => {
  const full = new errors.SyscallError("openat2", 28, "ENOSPC", "/x", { stage: "layer commit" });
  assert.deepEqual(grpcStatus(full), {
    code: status.RESOURCE_EXHAUSTED,
    details: "openat2 /x: ENOSPC; stage: layer commit",
    foreseen: true,
  });
});

Deno.test("Details are added once, and only where the message lacks them", () => {
  const error = new errors.InvalidArgumentError('config.name "a/b" is not a name', {
    field: "config.name",
    value: "a/b",
    id: "c0ffee",
    path: "/run/x",
    remedy: "leave out /",
  });
  assert.equal(
    grpcStatus(error).details,
    'config.name "a/b" is not a name; path: "/run/x"; id: c0ffee; remedy: leave out /',
  );
});

Deno.test("What failed first counts, not what failed while undoing it", async () => {
  const run = async () => {
    await using undo = new AsyncDisposableStack();
    undo.defer(() => Promise.reject(new Error("undo failed")));
    undo.defer(() => Promise.reject(new TypeError("undo failed too")));
    await Promise.reject(new errors.UnavailableError("The plugin failed"));
  };
  const thrown = await run().catch((error: unknown) => error);
  assert.ok(thrown instanceof SuppressedError);
  assert.equal(grpcStatus(thrown).code, status.UNAVAILABLE);
  const several = new AggregateError([new errors.NotFoundError("Not here"), new Error("no")]);
  assert.equal(grpcStatus(several).code, status.NOT_FOUND);
});

Deno.test("Time-outs and aborts of the platform have their codes", () => {
  assert.equal(grpcStatus(new DOMException("slow", "TimeoutError")).code, status.DEADLINE_EXCEEDED);
  assert.equal(grpcStatus(new DOMException("gone", "AbortError")).code, status.CANCELLED);
});

Deno.test("Everything else is INTERNAL and not foreseen", () => {
  for (const thrown of [new TypeError("x"), "text", undefined, null, 7, new AggregateError([])]) {
    const { code, foreseen } = grpcStatus(thrown);
    assert.deepEqual([code, foreseen], [status.INTERNAL, false]);
  }
});

Deno.test("A long text is cut, for it is sent in a header", () => {
  const { details } = grpcStatus(new errors.InternalError("x".repeat(100_000)));
  assert.equal(details.length, 3_000);
});
