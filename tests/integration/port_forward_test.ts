/**
 * Port-forward into real network namespaces. FORWARDED_MB (64 by default) is how much goes through it in
 * each direction, FORWARDED_CONNECTIONS (100) how many break off.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  DeadlineExceededError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  UnavailableError,
} from "../../src/errors/mod.ts";
import { newSandboxId, type SandboxId } from "../../src/model/mod.ts";
import { PortForwards } from "../../src/pod/mod.ts";
import type { SandboxRecord } from "../../src/pod/sandbox.ts";
import { PodSandboxConfig } from "../../src/proto/mod.ts";
import {
  ByteDescriptors,
  createLinuxKernel,
  TcpConnections,
  WorkerNamespaces,
} from "../../src/sys/mod.ts";
import { PORTS } from "./forwarded_server.ts";

const MB = 1 << 20;
const amountMb = Number(Deno.env.get("FORWARDED_MB") ?? 64);
const connectionCount = Number(Deno.env.get("FORWARDED_CONNECTIONS") ?? 100);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const never = () => new AbortController().signal;

/** Two pods: one in a namespace of its own in which the program runs, one on the host's network. */
class Pods implements AsyncDisposable {
  readonly id = newSandboxId();
  readonly hostNetwork = newSandboxId();
  readonly #root = Deno.makeTempDirSync({ prefix: "sauropod-forward-" });
  readonly #kernel = createLinuxKernel();
  readonly namespaces = new WorkerNamespaces(this.#kernel);
  readonly #descriptors = new ByteDescriptors(this.#kernel);
  #server: Deno.ChildProcess | undefined;
  state: "ready" | "stopped" = "ready";
  readonly forwards: PortForwards;

  private constructor(connectDeadlineMs: number) {
    this.forwards = new PortForwards({
      registry: { requireSandbox: (id) => this.#record(id) },
      connections: new TcpConnections({
        kernel: this.#kernel,
        sockets: this.namespaces,
        descriptors: this.#descriptors,
      }),
      connectDeadlineMs,
    });
  }

  static async make({ connectDeadlineMs = 60_000 } = {}): Promise<Pods> {
    const pods = new Pods(connectDeadlineMs);
    await pods.namespaces.create({ pins: { net: pods.net }, sysctls: {} });
    const script = new URL("./forwarded_server.ts", import.meta.url).pathname;
    pods.#server = new Deno.Command("nsenter", {
      args: [`--net=${pods.net}`, Deno.execPath(), "run", "-A", "--no-check", script],
      stdin: "null",
      stdout: "piped",
      env: { DENO_NO_UPDATE_CHECK: "1" },
    }).spawn();
    const reader = pods.#server.stdout.getReader();
    assert.equal(text((await reader.read()).value ?? new Uint8Array()), "ready\n");
    await reader.cancel();
    return pods;
  }

  get net(): string {
    return `${this.#root}/net`;
  }

  #record(id: string): SandboxRecord {
    if (id !== this.id && id !== this.hostNetwork) throw new NotFoundError("There is no sandbox");
    const host = { kind: "host" } as const;
    return {
      id: id as SandboxId,
      config: PodSandboxConfig.fromPartial({ metadata: { name: "web", namespace: "default" } }),
      namespaces: {
        net: id === this.id ? { kind: "pinned", path: this.net } : host,
        ipc: host,
        uts: host,
        pid: host,
      },
      state: { kind: this.state, ips: [] },
    } as unknown as SandboxRecord;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#server?.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#server?.status;
    this.#descriptors[Symbol.dispose]();
    await this.namespaces.release(this.net);
    this.namespaces[Symbol.dispose]();
    await Deno.remove(this.#root, { recursive: true });
  }
}

/** A client's receiving end, which hashes instead of keeping. */
class Received {
  readonly #hash = createHash("sha256");
  readonly #ended = Promise.withResolvers<void>();
  bytes = 0;
  ended = false;
  readonly whenEnded = this.#ended.promise;
  text = "";

  write(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    if (this.bytes < 1000) this.text += text(chunk);
    return Promise.resolve();
  }

  end(): Promise<void> {
    this.ended = true;
    this.#ended.resolve();
    return Promise.resolve();
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

async function* of(...lines: string[]): AsyncGenerator<Uint8Array> {
  for (const line of lines) yield new TextEncoder().encode(line);
}

/** Says something and stays silent, until the signal that comes when the forward has ended. */
async function* open(...lines: string[]): AsyncGenerator<Uint8Array> {
  yield* of(...lines);
  await new Promise(() => {});
}

/** Says something, and is reset when that has come: as kubectl does once the pod's half has ended. */
async function* resetAfter(event: Promise<unknown>, line: string): AsyncGenerator<Uint8Array> {
  yield* of(line);
  await event;
  throw new UnavailableError("The client has reset the stream (status 5)");
}

/** Everything of this process that is open; what has been closed may take a turn to go. */
function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

async function eventually(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!holds()) {
    assert.ok(performance.now() < end, `Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const ignore = Deno.uid() !== 0;
const test = (name: string, body: () => Promise<void>) =>
  Deno.test({ name, ignore, sanitizeOps: false, sanitizeResources: false, fn: body });

test("each half of a forwarded connection ends by itself", async () => {
  await using pods = await Pods.make();
  const sink = new Received();
  const expected = createHash("sha256").update("hello world").digest("hex");
  await pods.forwards.portForward(pods.id, PORTS.digest, {
    source: of("hello ", "", "world"),
    sink,
  }, never());
  assert.equal(sink.text, expected, "it answered after the client's end");
  assert.ok(sink.ended);
});

test("a program that listens on ::1 alone is reached, and one of the host for a pod on its network", async () => {
  await using pods = await Pods.make();
  const six = new Received();
  await pods.forwards.portForward(
    pods.id,
    PORTS.sixOnly,
    { source: of("six"), sink: six },
    never(),
  );
  assert.equal(six.text, "six");

  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using connection = await listener.accept();
    await connection.write(new TextEncoder().encode("host"));
  })();
  const host = new Received();
  await pods.forwards.portForward(
    pods.hostNetwork,
    listener.addr.port,
    { source: of(), sink: host },
    never(),
  );
  await serving;
  assert.equal(host.text, "host");
});

test("what cannot be forwarded says which port of which pod, and why", async () => {
  await using pods = await Pods.make();
  const forward = (port: number, id = pods.id) =>
    pods.forwards.portForward(id, port, { source: open(), sink: new Received() }, never());
  const before = descriptors();
  await assert.rejects(forward(7999), (error: Error) => {
    assert.ok(error instanceof UnavailableError);
    return /Nothing listens on port 7999 of pod default\/web/.test(error.message);
  });
  for (const port of [0, -1, 65_536, 1.5]) {
    await assert.rejects(forward(port), InvalidArgumentError);
  }
  await assert.rejects(forward(PORTS.echo, newSandboxId()), NotFoundError);
  assert.equal(pods.forwards.checkPortForward(pods.id), pods.id);
  pods.state = "stopped";
  await assert.rejects(forward(PORTS.echo), FailedPreconditionError);
  assert.throws(() => pods.forwards.checkPortForward(pods.id), FailedPreconditionError);
  await eventually("nothing is left open", () => descriptors() <= before);
});

test("a connection that is reset tells so; one whose client goes away, or whose pod is stopped, ends", async () => {
  await using pods = await Pods.make();
  await assert.rejects(
    pods.forwards.portForward(
      pods.id,
      PORTS.reset,
      { source: open("x"), sink: new Received() },
      never(),
    ),
    (error: Error) =>
      error instanceof UnavailableError && /port 7004 .*broke off/.test(error.message),
  );
  for (const how of ["client", "pod"] as const) {
    const client = new AbortController();
    const sink = new Received();
    const forwarding = pods.forwards.portForward(
      pods.id,
      PORTS.echo,
      { source: open("hello"), sink },
      client.signal,
    );
    const outcome = assert.rejects(forwarding, how === "client" ? /has hung up/ : /being stopped/);
    await eventually("it is connected", () => sink.text === "hello");
    if (how === "client") client.abort(new Error("the client has hung up"));
    else pods.forwards.end(pods.id);
    await outcome;
  }
});

test("a client that resets its half after the pod's end has ended the connection, and nothing else", async () => {
  await using pods = await Pods.make();
  const sink = new Received();
  await pods.forwards.portForward(
    pods.id,
    PORTS.closing,
    { source: resetAfter(sink.whenEnded, "GET"), sink },
    never(),
  );
  assert.equal(sink.text, "bye");
});

test("a client that resets its half, or takes no more, leaves the connection, and the pod sees its end", async () => {
  await using pods = await Pods.make();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const how of ["reset", "refused"] as const) {
    const greeted = Promise.withResolvers<void>();
    const sink = {
      write: () => {
        greeted.resolve();
        return how === "reset" ? Promise.resolve() : Promise.reject(new UnavailableError("reset"));
      },
      end: () => Promise.resolve(),
    };
    const serving = (async () => {
      using connection = await listener.accept();
      await connection.write(new TextEncoder().encode("hello"));
      const into = new Uint8Array(16);
      while (await connection.read(into).catch(() => null) !== null);
    })();
    await pods.forwards.portForward(
      pods.hostNetwork,
      listener.addr.port,
      { source: how === "reset" ? resetAfter(greeted.promise, "x") : open("x"), sink },
      never(),
    );
    await serving;
  }
});

test("a port that never answers is given up at the deadline, and then nothing is left open", async () => {
  await using pods = await Pods.make({ connectDeadlineMs: 300 });
  const rules = "add table inet t; " +
    "add chain inet t c { type filter hook input priority 0; }; " +
    "add rule inet t c tcp dport 7998 drop";
  const { success } = await new Deno.Command("nsenter", {
    args: [`--net=${pods.net}`, "nft", rules],
  }).output();
  assert.ok(success);
  const before = descriptors();
  const streams = { source: open(), sink: new Received() };
  await assert.rejects(
    pods.forwards.portForward(pods.id, 7998, streams, never()),
    (error: Error) =>
      error instanceof DeadlineExceededError && /port 7998 .* within 300 ms/.test(error.message),
  );
  await eventually("nothing is left open", () => descriptors() <= before);
});

test("many bytes go through in both directions, whole, and as slow as the slower side", async () => {
  await using pods = await Pods.make();
  const chunk = new Uint8Array(1 << 16);
  let sent = createHash("sha256");
  let offered = 0;
  async function* flood(total: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < total; at += chunk.length) {
      chunk.fill((at >> 16) % 253);
      sent.update(chunk);
      offered += chunk.length;
      yield chunk.slice();
    }
  }
  const upSink = new Received();
  const began = performance.now();
  await pods.forwards.portForward(
    pods.id,
    PORTS.digest,
    { source: flood(amountMb * MB), sink: upSink },
    never(),
  );
  const upMs = performance.now() - began;
  assert.equal(upSink.text, sent.digest("hex"));

  const down = new Received();
  const downBegan = performance.now();
  await pods.forwards.portForward(
    pods.id,
    PORTS.source,
    { source: of(`${amountMb * MB}\n`), sink: down },
    never(),
  );
  const downMs = performance.now() - downBegan;
  assert.equal(down.bytes, amountMb * MB);
  const wanted = createHash("sha256");
  for (let left = amountMb * MB; left > 0; left -= 1 << 16) {
    wanted.update(new Uint8Array(Math.min(left, 1 << 16)).fill(left % 251));
  }
  assert.equal(down.digest(), wanted.digest("hex"));
  if (amountMb > 64) {
    const rate = (ms: number) => `${Math.round(amountMb / (ms / 1000))} MB/s`;
    const high = /^VmHWM:.*/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[0];
    console.log(`to the pod ${rate(upMs)}, from it ${rate(downMs)}, ${high}`);
  }

  // A program that reads nothing: no more is taken from the client than the kernel's buffers hold.
  const client = new AbortController();
  offered = 0;
  sent = createHash("sha256");
  const deaf = pods.forwards.portForward(
    pods.id,
    PORTS.deaf,
    { source: flood(256 * MB), sink: new Received() },
    client.signal,
  );
  const outcome = assert.rejects(deaf, /over/);
  let last = -1;
  while (offered !== last || offered === 0) {
    last = offered;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(offered < 64 * MB, `${offered} bytes were taken`);
  client.abort(new Error("over"));
  await outcome;

  // A client that takes nothing: no more than that is read from the program.
  const slow = new AbortController();
  const taking = Promise.withResolvers<void>();
  const stuck = {
    write: () => {
      taking.resolve();
      return new Promise<void>(() => {});
    },
    end: () => Promise.resolve(),
  };
  const forwarding = pods.forwards.portForward(
    pods.id,
    PORTS.source,
    { source: of(`${256 * MB}\n`), sink: stuck },
    slow.signal,
  );
  const ended = assert.rejects(forwarding, /over/);
  await taking.promise;
  slow.abort(new Error("over"));
  await ended;
});

test("connections that break off leave no descriptor behind", async () => {
  await using pods = await Pods.make();
  const one = async (kind: number) => {
    const client = new AbortController();
    const port = [PORTS.echo, PORTS.deaf, PORTS.reset, 7999][kind % 4] ?? PORTS.echo;
    const sink = {
      write: () =>
        kind % 2 === 0
          ? Promise.reject(new UnavailableError("the client is gone"))
          : Promise.resolve(),
      end: () => Promise.resolve(),
    };
    const forward = pods.forwards.portForward(
      pods.id,
      port,
      { source: open("hello"), sink },
      client.signal,
    );
    const outcome = forward.then(() => "ended", () => "failed");
    if (kind % 3 === 0) client.abort(new Error("over"));
    else setTimeout(() => client.abort(new Error("over")), kind % 20);
    await outcome;
  };
  await Promise.all(Array.from({ length: 8 }, (_, kind) => one(kind)));
  const before = descriptors();
  for (let made = 0; made < connectionCount; made += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, index) => one(made + index)));
  }
  await eventually("every descriptor is closed", () => descriptors() <= before);
});

test("the thread that enters namespaces may die, and enters nothing else", async () => {
  await using pods = await Pods.make();
  pods.namespaces.terminate();
  const sink = new Received();
  await pods.forwards.portForward(pods.id, PORTS.echo, { source: of("again"), sink }, never());
  assert.equal(sink.text, "again");
  await assert.rejects(
    pods.namespaces.socket({ netnsPath: "/etc/hostname", domain: 2 }),
    /There is no network namespace/,
  );
});
