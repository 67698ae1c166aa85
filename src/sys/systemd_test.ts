import assert from "node:assert/strict";
import { createConnection, type DBusConnection, type Message } from "dbus-native";
import { createServer } from "node:net";
import { FailedPreconditionError, UnavailableError } from "../errors/mod.ts";
import { PrivateSystemd } from "./systemd.ts";

type Answer = (call: Message, connection: DBusConnection) => void;

/** A systemd that speaks D-Bus and does what the test says. */
async function withSystemd(
  answer: Answer,
  test: (systemd: PrivateSystemd, calls: readonly Message[]) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-sys-" });
  const path = `${directory}/private`;
  const calls: Message[] = [];
  const connections: DBusConnection[] = [];
  const server = createServer((stream) => {
    const connection = createConnection(
      { stream, server: true } as Parameters<typeof createConnection>[0],
    );
    connections.push(connection);
    connection.on("error", () => {}); // clients go as they please
    connection.on("message", (call: Message) => {
      calls.push(call);
      answer(call, connection);
    });
  });
  try {
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await test(new PrivateSystemd(path), calls);
  } finally {
    for (const connection of connections) connection.end();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await Deno.remove(directory, { recursive: true });
  }
}

let serial = 100;

function jobOf(call: Message): string {
  return `/org/freedesktop/systemd1/job/${call.serial}`;
}

function started(call: Message, connection: DBusConnection): void {
  const answer = { type: 2, serial: ++serial, replySerial: call.serial ?? 0 };
  connection.message({ ...answer, signature: "o", body: [jobOf(call)] });
}

function removed(job: string, unit: string, result: string, connection: DBusConnection): void {
  connection.message({
    type: 4,
    serial: ++serial,
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "JobRemoved",
    signature: "uoss",
    body: [1, job, unit, result],
  });
}

function failed(name: string, call: Message, connection: DBusConnection): void {
  connection.message({
    type: 3,
    serial: ++serial,
    replySerial: call.serial ?? 0,
    errorName: `org.freedesktop.systemd1.${name}`,
    signature: "s",
    body: [`words about ${name}`],
  });
}

const unitOf = (call: Message): string => String(call.body?.[0]);
const { signal } = new AbortController();
const SCOPE = { name: "x.scope", slice: "a.slice", description: "of a test", pid: 4711 };

Deno.test("a scope is there when its own job is done, whatever ends before", async () => {
  await withSystemd((call, connection) => {
    removed("/org/freedesktop/systemd1/job/other", "x.scope", "failed", connection);
    removed(jobOf(call), unitOf(call), "done", connection);
    started(call, connection);
  }, async (systemd, [...none]) => {
    assert.deepEqual(none, []);
    await systemd.startScope(SCOPE, signal);
  });
  await withSystemd((call, connection) => {
    started(call, connection);
    removed(jobOf(call), unitOf(call), "done", connection);
  }, async (systemd, calls) => {
    await systemd.startScope(SCOPE, signal);
    const [name, mode, properties] = calls[0]?.body ?? [];
    assert.deepEqual([calls[0]?.member, name, mode], ["StartTransientUnit", "x.scope", "fail"]);
    const given = Object.fromEntries(properties as [string, unknown][]);
    assert.deepEqual([given["Slice"], given["PIDs"]], ["a.slice", [4711]]);
  });
});

Deno.test("what is there already and what is gone already are successes", async () => {
  await withSystemd(
    (call, connection) =>
      failed(call.member === "StopUnit" ? "NoSuchUnit" : "UnitExists", call, connection),
    async (systemd) => {
      await systemd.startSlice("a.slice", signal);
      await systemd.stop("a.slice", signal);
      // Somebody else's scope of our name is none of ours.
      await assert.rejects(systemd.startScope(SCOPE, signal), /UnitExists/);
    },
  );
});

Deno.test("a refusal and a job that fails are told in systemd's words", async () => {
  await withSystemd(
    (call, connection) => {
      if (call.member === "StopUnit") return failed("AccessDenied", call, connection);
      started(call, connection);
      removed(jobOf(call), unitOf(call), "timeout", connection);
    },
    async (systemd) => {
      const ofClass = (words: RegExp) => (error: Error) =>
        error instanceof FailedPreconditionError && words.test(error.message);
      await assert.rejects(systemd.stop("a.slice", signal), ofClass(/words about AccessDenied/));
      await assert.rejects(systemd.startSlice("a.slice", signal), ofClass(/ended as "?timeout/));
    },
  );
});

Deno.test("a systemd that is not there, goes away or stays silent holds nobody up", async () => {
  await assert.rejects(
    new PrivateSystemd("/nonexistent/private").stop("a.slice", signal),
    UnavailableError,
  );
  await withSystemd((_, connection) => connection.end(), async (systemd) => {
    await assert.rejects(systemd.stop("a.slice", signal), UnavailableError);
  });
  const giveUp = new AbortController();
  await withSystemd(() => giveUp.abort(new Error("late")), async (systemd) => {
    await assert.rejects(systemd.stop("a.slice", giveUp.signal), /late/);
  });
});

Deno.test("authentication is one write that waits for no answer in between", async () => {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-sys-" });
  const path = `${directory}/private`;
  using listener = Deno.listen({ transport: "unix", path });
  try {
    const asked = new PrivateSystemd(path).stop("a.slice", signal);
    const refused = assert.rejects(asked, UnavailableError);
    using connection = await listener.accept();
    const wanted = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n".replace(
      "30",
      [...String(Deno.uid())].map((digit) => `3${digit}`).join(""),
    );
    const bytes = new Uint8Array(1_024);
    let text = "";
    // A peer that answers nothing before it has read all of it.
    while (text.length < wanted.length) {
      const count = await connection.read(bytes) ?? assert.fail("it went away");
      text += new TextDecoder().decode(bytes.subarray(0, count));
    }
    assert.equal(text, wanted);
    await connection.write(new TextEncoder().encode("REJECTED EXTERNAL\r\n"));
    await refused;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
