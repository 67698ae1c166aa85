import assert from "node:assert/strict";
import { InvalidArgumentError, UnavailableError } from "../errors/mod.ts";
import { createLinuxKernel } from "./linux.ts";
import { failWith, recordingKernel } from "./recording.ts";
import { NotifySocket, serviceEnvironment } from "./service_manager.ts";
import { DatagramListener } from "./testdata/datagram_listener.ts";

function environment(values: Record<string, string>) {
  const map = new Map(Object.entries(values));
  return {
    map,
    env: {
      get: (name: string) => map.get(name),
      delete: (name: string) => void map.delete(name),
    },
  };
}

Deno.test("the manager's variables are taken out of the environment", () => {
  const { map, env } = environment({
    NOTIFY_SOCKET: "/run/systemd/notify",
    WATCHDOG_USEC: "60000000",
    WATCHDOG_PID: "7",
    PATH: "/bin",
  });
  assert.deepEqual(serviceEnvironment(env, 7), {
    notifySocket: "/run/systemd/notify",
    watchdogMs: 60_000,
  });
  assert.deepEqual([...map.keys()], ["PATH"]);
});

Deno.test("without a manager there is nobody to tell", () => {
  const nobody = { notifySocket: undefined, watchdogMs: undefined };
  assert.deepEqual(serviceEnvironment(environment({}).env, 7), nobody);
  assert.deepEqual(serviceEnvironment(environment({ NOTIFY_SOCKET: "" }).env, 7), nobody);
});

Deno.test("a watchdog of another process is not ours", () => {
  const { env } = environment({ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" });
  assert.equal(serviceEnvironment(env, 7).watchdogMs, undefined);
  const unnamed = environment({ WATCHDOG_USEC: "1500" });
  assert.equal(serviceEnvironment(unnamed.env, 7).watchdogMs, 1.5);
});

Deno.test("variables that no manager sets are named", () => {
  for (const values of [{ NOTIFY_SOCKET: "vsock:2:1" }, { WATCHDOG_USEC: "soon" }]) {
    const [name = ""] = Object.keys(values);
    assert.throws(() => serviceEnvironment(environment(values).env, 7), (error: Error) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.equal(error.details.field, name);
      return true;
    });
  }
});

Deno.test("messages reach a socket with a path and an abstract name", async () => {
  const root = await Deno.makeTempDir({ prefix: "sauropod-sys-" });
  try {
    for (const name of [`${root}/notify`, `@sauropod-test-${crypto.randomUUID()}`]) {
      using listener = new DatagramListener(name);
      const socket = new NotifySocket(createLinuxKernel(), name);
      await socket.notify({ kind: "ready", status: "Serving\nFDSTORE=1" });
      assert.equal(await listener.next(), "READY=1\nSTATUS=Serving FDSTORE=1");
      await socket.notify({ kind: "watchdog" });
      assert.equal(await listener.next(), "WATCHDOG=1");
      await socket.notify({ kind: "reloading" });
      assert.equal(await listener.next(), "RELOADING=1");
      await socket.notify({ kind: "stopping" });
      assert.equal(await listener.next(), "STOPPING=1");
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("a full queue is tried again, a manager that is gone is named", async () => {
  let full = 2;
  const { kernel } = recordingKernel({
    write: (_, bytes) => full-- > 0 ? failWith("write", "EAGAIN") : bytes.length,
  });
  await new NotifySocket(kernel, "/notify").notify({ kind: "watchdog" });
  assert.equal(full, -1);
  await assert.rejects(
    new NotifySocket(createLinuxKernel(), `@gone-${crypto.randomUUID()}`).notify({
      kind: "stopping",
    }),
    (error: Error) =>
      error instanceof UnavailableError && /"stopping" on "?@gone-/.test(error.message),
  );
});
