import assert from "node:assert/strict";
import { FailedPreconditionError, NotFoundError, ResourceExhaustedError } from "../errors/mod.ts";
import type { ClientStreams } from "../model/mod.ts";
import type { AttachRequest, ExecStreamRequest } from "../runtime/mod.ts";
import type { ContainerRecord } from "./container.ts";
import { containerRecord, RUNNING } from "./_test_records.ts";
import { EXEC_LIMIT, ProcessSessions } from "./process_sessions.ts";

const STREAMS: ClientStreams = {
  stdin: undefined,
  stdout: undefined,
  stderr: undefined,
  resizes: undefined,
  signal: new AbortController().signal,
};

async function sessionsOf(record: ContainerRecord) {
  const bundle = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${bundle}/config.json`,
    JSON.stringify({ process: { cwd: "/work", args: ["main"], user: { uid: 5 } } }),
  );
  const kept = { ...record, place: { ...record.place, bundle } };
  const execs: ExecStreamRequest[] = [];
  const attachments: AttachRequest[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const sessions = new ProcessSessions({
    registry: {
      requireContainer: (id) => {
        if (kept.id.startsWith(id)) return kept;
        throw new NotFoundError("none");
      },
    },
    runtime: {
      exec: async (request) => {
        execs.push(request);
        await over;
        return 7;
      },
      attach: async (request) => {
        attachments.push(request);
        await over;
      },
    },
  });
  return {
    sessions,
    execs,
    attachments,
    end,
    [Symbol.asyncDispose]: () => Deno.remove(bundle, { recursive: true }),
  };
}

Deno.test("exec hands the container's own process on, by a unique prefix of its id", async () => {
  const record = containerRecord(RUNNING);
  await using made = await sessionsOf(record);
  made.end();
  assert.equal(made.sessions.checkExec(record.id.slice(0, 12)), record.id);
  const session = { container: record.id, args: ["ls"], terminal: true };
  assert.equal(await made.sessions.exec(session, STREAMS), 7);
  const [request] = made.execs;
  assert.deepEqual(request?.args, ["ls"]);
  assert.equal(request?.terminal, true);
  assert.deepEqual(request?.process["user"], { uid: 5 });
});

Deno.test("sessions are refused by the state of the container", async () => {
  const exited = containerRecord({
    kind: "exited",
    startedAtNs: 1n,
    finishedAtNs: 2n,
    exitCode: 0,
    reason: "Completed",
    message: "",
  });
  await using ended = await sessionsOf(exited);
  const refused = (act: () => unknown, state: RegExp) =>
    assert.throws(act, (error) => {
      assert.ok(error instanceof FailedPreconditionError);
      assert.match(error.message, state);
      return true;
    });
  refused(() => ended.sessions.checkExec(exited.id), /is exited/);
  refused(() => ended.sessions.checkAttach(exited.id), /is exited/);
  // Checked again when it is used.
  const session = { container: exited.id, args: ["ls"], terminal: false };
  await assert.rejects(ended.sessions.exec(session, STREAMS), FailedPreconditionError);
  await assert.rejects(ended.sessions.attach(exited.id, STREAMS), FailedPreconditionError);

  const { init, monitor } = RUNNING;
  const created = containerRecord({ kind: "created", init, monitor });
  await using waiting = await sessionsOf(created);
  refused(() => waiting.sessions.checkExec(created.id), /is created/);
  assert.deepEqual(waiting.sessions.checkAttach(created.id), {
    container: created.id,
    terminal: false,
  });
  assert.throws(() => waiting.sessions.checkAttach("other"), NotFoundError);
});

Deno.test("commands are bounded, and those that end make room", async () => {
  const record = containerRecord(RUNNING);
  await using made = await sessionsOf(record);
  const session = { container: record.id, args: ["ls"], terminal: false };
  const execs = Array.from({ length: EXEC_LIMIT }, () => made.sessions.exec(session, STREAMS));
  await assert.rejects(made.sessions.exec(session, STREAMS), ResourceExhaustedError);
  made.end();
  await Promise.all(execs);
  assert.equal(await made.sessions.exec(session, STREAMS), 7);
});
