import assert from "node:assert/strict";
import { InvalidArgumentError, UnavailableError } from "../../src/errors/mod.ts";
import { AF_INET, createLinuxKernel, NSFS_MAGIC, WorkerNamespaces } from "../../src/sys/mod.ts";

const kernel = createLinuxKernel();

interface Place extends AsyncDisposable {
  readonly namespaces: WorkerNamespaces;
  readonly root: string;
  readonly pins: { readonly net: string; readonly ipc: string; readonly uts: string };
}

async function place(): Promise<Place> {
  const root = await Deno.makeTempDir({ prefix: "sauropod-ns-" });
  const namespaces = new WorkerNamespaces();
  const pins = { net: `${root}/a/net`, ipc: `${root}/a/ipc`, uts: `${root}/b/uts` };
  return {
    namespaces,
    root,
    pins,
    async [Symbol.asyncDispose]() {
      for (const pin of Object.values(pins)) await namespaces.release(pin);
      namespaces[Symbol.dispose]();
      await Deno.remove(root, { recursive: true });
    },
  };
}

async function inside(pins: Place["pins"], ...command: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("nsenter", {
    args: [`--net=${pins.net}`, `--ipc=${pins.ipc}`, `--uts=${pins.uts}`, ...command],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

const idOf = (namespace: string) => Deno.readLinkSync(`/proc/self/ns/${namespace}`);

Deno.test("create() pins namespaces with lo up, hostname and sysctls, and the node's stay as they are", async () => {
  await using at = await place();
  const before = {
    net: idOf("net"),
    hostname: Deno.hostname(),
    range: Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range"),
    shmmni: Deno.readTextFileSync("/proc/sys/kernel/shmmni"),
  };
  await at.namespaces.create({
    pins: at.pins,
    hostname: "pod-7",
    sysctls: { "net.ipv4.ip_local_port_range": "20000 30000", "kernel/shmmni": "17" },
  });
  assert.equal(kernel.statfs(at.pins.net).type, NSFS_MAGIC);
  assert.equal(await inside(at.pins, "hostname"), "pod-7");
  assert.match(
    await inside(at.pins, "cat", "/proc/sys/net/ipv4/ip_local_port_range"),
    /20000\s30000/,
  );
  assert.equal(await inside(at.pins, "cat", "/proc/sys/kernel/shmmni"), "17");
  assert.match(await inside(at.pins, "ip", "-o", "link", "show", "lo"), /[<,]UP[,>]/);
  assert.deepEqual({
    net: idOf("net"),
    hostname: Deno.hostname(),
    range: Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range"),
    shmmni: Deno.readTextFileSync("/proc/sys/kernel/shmmni"),
  }, before);
});

Deno.test("release() takes a pin away, may be repeated, and accepts what never was", async () => {
  await using at = await place();
  await at.namespaces.create({ pins: { net: at.pins.net }, sysctls: {} });
  await at.namespaces.release(at.pins.net);
  await at.namespaces.release(at.pins.net);
  await assert.rejects(Deno.stat(at.pins.net), Deno.errors.NotFound);
});

Deno.test("a sysctl that the kernel refuses is named, and nothing stays pinned", async () => {
  await using at = await place();
  const request = { pins: at.pins, sysctls: { "net.ipv4.ip_forward": "many" } };
  await assert.rejects(at.namespaces.create(request), (error: InvalidArgumentError) => {
    assert.ok(error instanceof InvalidArgumentError);
    assert.match(error.message, /net\.ipv4\.ip_forward.*EINVAL/);
    return true;
  });
  await assert.rejects(Deno.stat(at.pins.net), Deno.errors.NotFound);
  assert.ok(!Deno.readTextFileSync("/proc/self/mountinfo").includes(at.root));
});

Deno.test("a sysctl name cannot leave /proc/sys", async () => {
  await using at = await place();
  const pattern = Deno.readTextFileSync("/proc/sys/kernel/core_pattern");
  for (
    const name of ["../sysrq-trigger", "net/../kernel/core_pattern", "net..ipv4", "/x", "a\nb"]
  ) {
    await assert.rejects(
      at.namespaces.create({ pins: { net: at.pins.net }, sysctls: { [name]: "x" } }),
      InvalidArgumentError,
    );
  }
  assert.equal(Deno.readTextFileSync("/proc/sys/kernel/core_pattern"), pattern);
});

Deno.test("a killed worker's calls are answered Unavailable, then the next call works", async () => {
  await using at = await place();
  await at.namespaces.start();
  const pending = at.namespaces.create({ pins: { net: at.pins.net }, sysctls: {} });
  at.namespaces.terminate();
  await assert.rejects(pending, UnavailableError);
  // The killed call may or may not have pinned: undoing first is what the record does, too.
  await at.namespaces.release(at.pins.net);
  await at.namespaces.create({ pins: { net: at.pins.net }, sysctls: {} });
  assert.equal(kernel.statfs(at.pins.net).type, NSFS_MAGIC);
});

Deno.test("pinPid() gives the PID namespace of a process a name, and nothing to one that is gone", async () => {
  await using at = await place();
  const path = `${at.root}/pid/one`;
  const child = new Deno.Command("unshare", {
    args: ["--pid", "--fork", "--kill-child", "sh", "-c", "echo $$; exec sleep 1000"],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  try {
    // The shell says its pid inside, 1, once it is in the new namespace.
    const reader = child.stdout.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "1\n");
    await reader.cancel();
    const first = Number(
      Deno.readTextFileSync(`/proc/${child.pid}/task/${child.pid}/children`).trim(),
    );
    await at.namespaces.pinPid({ pid: first, path });
    assert.equal(kernel.statfs(path).type, NSFS_MAGIC);
    const own = Deno.statSync(`/proc/${first}/ns/pid`).ino;
    assert.equal(Deno.statSync(path).ino, own);
    await assert.rejects(at.namespaces.pinPid({ pid: first, path }), {
      name: "AlreadyExistsError",
    });
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await at.namespaces.release(path);
  }
  const gone = `${at.root}/pid/gone`;
  await assert.rejects(at.namespaces.pinPid({ pid: 2 ** 22 + 1, path: gone }), /ENOENT/);
  await assert.rejects(Deno.stat(gone), Deno.errors.NotFound);
});

/** Links of this process's descriptors, those that were there before left out. */
function openedSince(before: readonly string[]): string[] {
  return descriptors().filter((link) => !before.includes(link));
}

function descriptors(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/self/fd/${name}`)];
    } catch {
      return []; // that of the listing itself
    }
  });
}

Deno.test("a socket that was made when the worker died is closed, although its answer never came", async () => {
  await using at = await place();
  await at.namespaces.create({ pins: { net: at.pins.net }, sysctls: {} });
  const request = { netnsPath: at.pins.net, domain: AF_INET };
  (await at.namespaces.socket(request)).close();
  const before = descriptors();
  const made = assert.rejects(at.namespaces.socket(request), UnavailableError);
  // No turn of this thread, so that no answer is heard. The descriptor of the namespace is the worker's last to
  // close; twice, because it may have been opened behind the back of a listing.
  const isOneSocket = () => /^socket:[^,]*$/.test(openedSince(before).join());
  const isMade = () => isOneSocket() && isOneSocket();
  for (const end = Date.now() + 60_000; !isMade();) {
    assert.ok(Date.now() < end, `opened: ${openedSince(before)}`);
  }
  at.namespaces.terminate();
  await made;
  assert.deepEqual(openedSince(before), []);
});
