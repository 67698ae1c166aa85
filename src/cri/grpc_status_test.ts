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

const ERRNOS: readonly [string, status][] = [
  ["ENOENT", status.NOT_FOUND],
  ["ESRCH", status.NOT_FOUND],
  ["EEXIST", status.ALREADY_EXISTS],
  ["ENOSPC", status.RESOURCE_EXHAUSTED],
  ["EDQUOT", status.RESOURCE_EXHAUSTED],
  ["EMFILE", status.RESOURCE_EXHAUSTED],
  ["ENFILE", status.RESOURCE_EXHAUSTED],
  ["ENOMEM", status.RESOURCE_EXHAUSTED],
  ["EPERM", status.PERMISSION_DENIED],
  ["EACCES", status.PERMISSION_DENIED],
  ["EBUSY", status.FAILED_PRECONDITION],
  ["ENOTEMPTY", status.FAILED_PRECONDITION],
  ["ENAMETOOLONG", status.INVALID_ARGUMENT],
  ["EIO", status.INTERNAL],
];

Deno.test("Each kind of a failed system call has the code of its errno", () => {
  for (const [name, code] of ERRNOS) {
    const error = new errors.SyscallError("mount", 1, name, "/x");
    assert.deepEqual([grpcStatus(error).code, grpcStatus(error).foreseen], [code, true], name);
  }
});

Deno.test("An error of the platform that tells of a shortage is RESOURCE_EXHAUSTED, and logged with its origin", () => {
  for (const code of ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM"]) {
    const error = Object.assign(new Error("No space left on device (os error 28)"), { code });
    const answer = grpcStatus(error);
    assert.deepEqual([answer.code, answer.foreseen], [status.RESOURCE_EXHAUSTED, false], code);
  }
  const other = Object.assign(new Error("not a directory"), { code: "ENOTDIR" });
  assert.equal(grpcStatus(other).code, status.INTERNAL);
});

Deno.test("Text of any script, and half a character, can be sent in a header", () => {
  for (
    const text of [
      "\ud800",
      "a plugin said \udc00 twice",
      `${"x".repeat(2_996)}\u{1F995}${"x".repeat(10)}`,
      "\u{1F995}".repeat(5_000),
      "é".repeat(3_000),
      "龍".repeat(3_000),
      "\n%\0".repeat(900),
    ]
  ) {
    const { details } = grpcStatus(new errors.UnavailableError(text));
    // The library does this; it throws at half a surrogate pair.
    assert.ok(encodeURI(details).length <= 12_003, `${encodeURI(details).length} bytes`);
    assert.ok(details.length > 0 && details.length <= 3_000);
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
