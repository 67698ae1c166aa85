import assert from "node:assert/strict";
import { meansGone, parseMonitorReport, runtimeErrorText } from "./monitor_report.ts";

Deno.test("parseMonitorReport reads all three keys and the message", () => {
  assert.deepEqual(parseMonitorReport('{"pid": 12}\n'), { value: 12, message: "" });
  assert.deepEqual(parseMonitorReport('{"exit_code": -1, "message": "a\\nb"}\n'), {
    value: -1,
    message: "a\nb",
  });
  assert.deepEqual(parseMonitorReport('{"data": 0}'), { value: 0, message: "" });
});

Deno.test("parseMonitorReport accepts the control characters that conmon forgets to escape", () => {
  assert.equal(parseMonitorReport('{"pid": -1, "message": "a\u001fb"}')?.message, "a b");
});

Deno.test("parseMonitorReport refuses what is no report", () => {
  for (const text of ["", "{", "null", "[1]", '{"pid": "1"}', '{"pid": 1.5}']) {
    assert.equal(parseMonitorReport(text), undefined);
  }
});

Deno.test("runtimeErrorText takes the last error of a log, else everything", () => {
  assert.equal(
    runtimeErrorText('{"level":"warning","msg":"a"}\n{"level":"error","msg":"b \\"c\\""}\n'),
    'b "c"',
  );
  assert.equal(runtimeErrorText("time=x level=error msg=plain\n"), "plain");
  assert.equal(runtimeErrorText("panic: x\ngoroutine 1\n"), "panic: x; goroutine 1");
  assert.ok(runtimeErrorText("x".repeat(100_000)).length < 5000);
});

Deno.test("meansGone tells a missing container from other failures", () => {
  assert.ok(meansGone("container does not exist"));
  assert.ok(meansGone("container with id abc does not exist"));
  assert.ok(!meansGone('exec: "does-not": executable file not found in $PATH'));
});
