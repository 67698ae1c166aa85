import assert from "node:assert/strict";
import { ExecOutput } from "./exec_output.ts";

const LOG = [
  "2026-11-23T22:10:46.123456789+00:00 stdout F one\n",
  "2026-11-23T22:10:46.123456789+00:00 stderr F problem: stdout P \n",
  "2026-11-23T22:10:46.123456789+00:00 stdout P no newline\n",
  "2026-11-23T22:10:46.123456789+00:00 stdout F \n",
  "2026-11-23T22:10:46.123456789+00:00 stderr P end\n",
].join("");

function parse(
  limit: number,
  chunkBytes: number,
): { stdout: string; stderr: string; cut: boolean } {
  const output = new ExecOutput(limit);
  const bytes = new TextEncoder().encode(LOG);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    output.push(bytes.subarray(at, at + chunkBytes));
  }
  const { stdout, stderr } = output.result();
  const text = new TextDecoder();
  return { stdout: text.decode(stdout), stderr: text.decode(stderr), cut: output.truncated };
}

Deno.test("ExecOutput gives back both streams exactly, however the log is cut into chunks", () => {
  for (const size of [1, 2, 7, 35, 64, 1000]) {
    assert.deepEqual(parse(1000, size), {
      stdout: "one\nno newline\n",
      stderr: "problem: stdout P \nend",
      cut: false,
    });
  }
});

Deno.test("ExecOutput keeps at most the limit of both streams together", () => {
  const whole = { stdout: "one\nno newline\n", stderr: "problem: stdout P \nend", cut: false };
  assert.deepEqual(parse(37, 9), whole);
  assert.deepEqual(parse(36, 9), { ...whole, stderr: "problem: stdout P \nen", cut: true });
  assert.deepEqual(parse(6, 9), { stdout: "one\n", stderr: "pr", cut: true });
});

Deno.test("ExecOutput refuses what is no log", () => {
  const output = new ExecOutput(10);
  assert.throws(() => output.push(new Uint8Array(200).fill(97)), /not in the log format/);
  assert.throws(() => new ExecOutput(10).push(new Uint8Array([10])), /not in the log format/);
});
