/**
 * A real kubelet against the runtime, with static pods: what a node asks of it, seen from the kubelet's side.
 *
 * `SAUROPOD_KUBELET_MINUTES` is how long the last test watches that nothing happens, 10 by default.
 *
 * @module
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { busyboxImage } from "../integration/test_images.ts";
import { ContainerState, PodSandboxState } from "../../src/proto/mod.ts";
import { lackingForGo } from "../support/go_client.ts";
import { unless } from "../support/skipping.ts";
import { eventually } from "../support/workbench.ts";
import { container, isReady, KubeletBench, type PodSpec, WAITING } from "./kubelet_bench.ts";

/** Low limits, so that what takes days on a node happens here. */
const SETTINGS = {
  containerLogMaxSize: "20Ki",
  containerLogMaxFiles: 1000,
  containerLogMonitorInterval: "3s",
  imageGCHighThresholdPercent: 1,
  imageGCLowThresholdPercent: 0,
  imageMinimumGCAge: "1ms",
};

/** The kubelet reads events, and lists every five minutes only. */
const EVENTED = Deno.env.get("SAUROPOD_KUBELET_EVENTS") === "1";
const QUIET_MS = Number(Deno.env.get("SAUROPOD_KUBELET_MINUTES") ?? "10") * 60_000;

let making: Promise<KubeletBench> | undefined;

Deno.test.afterAll(async () => {
  await (await making?.catch(() => undefined))?.[Symbol.asyncDispose]();
});

/** A test on the one node of this file; its pods are removed after it. */
function test(name: string, body: (bench: KubeletBench) => Promise<void>): void {
  Deno.test({
    ...unless(lackingForGo(), name),
    // The registry, the runtime and the kubelet outlive each test.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      making ??= makeBench();
      const bench = await making;
      try {
        await body(bench);
      } finally {
        await bench.clear();
      }
    },
  });
}

/** With an image that no pod will use: the kubelet will find that out as the tests go on. */
async function makeBench(): Promise<KubeletBench> {
  const bench = EVENTED
    ? await KubeletBench.make(
      { ...SETTINGS, featureGates: { EventedPLEG: true } },
      { env: { ENABLE_POD_EVENTS: "true" } },
    )
    : await KubeletBench.make(SETTINGS);
  for (const name of ["used", "unused"]) {
    await bench.push(name, busyboxImage({ config: { Cmd: ["/bin/sh"], Env: [`A=${name}`] } }));
  }
  await bench.client.images.pullImage({ image: { image: bench.image("unused") } });
  return bench;
}

const exec = (script: string) => ({ exec: { command: ["/bin/sh", "-c", script] } });
const EVERY_SECOND = { periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 1 };

/** Of each container of a pod in the runtime: name and attempt. */
async function attempts(bench: KubeletBench, pod: string): Promise<[string, number][]> {
  return (await bench.containers(pod)).map(({ metadata }) => [
    metadata?.name ?? "",
    metadata?.attempt ?? -1,
  ]);
}

test("a pod becomes ready with the address, the image and the container that the runtime has", async (bench) => {
  assert.equal(await bench.kubelet.health(), "ok");
  const status = await bench.run("plain", { containers: [{}] });
  const [sandbox] = await bench.sandboxes("plain");
  const answer = await bench.client.runtime.podSandboxStatus({ podSandboxId: sandbox!.id });
  assert.equal(status.podIP, answer.status?.network?.ip);
  const [made] = await bench.containers("plain");
  assert.equal(container(status).containerID, `sauropod://${made?.id}`);
  assert.equal(container(status).restartCount, 0);
  assert.equal(container(status).image, bench.image());
  assert.match(container(status).imageID, /@sha256:[0-9a-f]{64}$/);
  assert.equal(sandbox?.labels["io.kubernetes.pod.name"], "plain-testnode");
  await bench.says("plain", "hello");
});

test("exec, http and tcp probes find a container that serves", async (bench) => {
  const script = `mkdir /www; echo fine > /www/healthy
    exec /bin/busybox httpd -f -p 8080 -h /www`;
  const http = { httpGet: { path: "/healthy", port: 8080 } };
  await bench.run("probed", {
    containers: [
      {
        name: "by-exec",
        script: "touch /alive; exec sleep 1000",
        startupProbe: { ...exec("test -e /alive"), periodSeconds: 1 },
        livenessProbe: { ...exec("test -e /alive"), ...EVERY_SECOND },
        readinessProbe: { ...exec("test -e /alive"), ...EVERY_SECOND },
      },
      {
        name: "by-http",
        script,
        startupProbe: { ...http, periodSeconds: 1 },
        livenessProbe: { ...http, ...EVERY_SECOND },
        readinessProbe: { ...http, ...EVERY_SECOND },
      },
      {
        name: "by-tcp",
        script: "exec /bin/busybox httpd -f -p 9090",
        startupProbe: { tcpSocket: { port: 9090 }, periodSeconds: 1 },
        livenessProbe: { tcpSocket: { port: 9090 }, ...EVERY_SECOND },
        readinessProbe: { tcpSocket: { port: 9090 }, ...EVERY_SECOND },
      },
    ],
  });
  // Ten rounds of each later they are the same containers.
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  assert.deepEqual(await attempts(bench, "probed"), [["by-exec", 0], ["by-http", 0], [
    "by-tcp",
    0,
  ]]);
});

test("readiness follows its probe, and the container runs on", async (bench) => {
  await bench.run("turning", {
    containers: [{
      script: `touch /tmp/ready; ${WAITING}`,
      readinessProbe: { ...exec("test -e /tmp/ready"), ...EVERY_SECOND },
    }],
  });
  await bench.exec("turning", "rm /tmp/ready");
  await bench.until("turning", "not ready", (status) => !isReady(status));
  await bench.exec("turning", "touch /tmp/ready");
  const status = await bench.untilReady("turning");
  assert.equal(container(status).restartCount, 0);
});

for (
  const [kind, probe] of [
    ["exec", exec("test -e /tmp/server && ! test -e /tmp/sick")],
    ["exec that hangs", exec("while test -e /tmp/sick; do sleep 100; done; test -e /tmp/server")],
    ["http", { httpGet: { path: "/healthy", port: 8080 } }],
    ["tcp", { tcpSocket: { port: 8080 } }],
  ] as const
) {
  const name = `sick-${kind.replaceAll(" ", "-")}`;
  test(`a liveness probe by ${kind} that fails ends the container, and the next attempt runs`, async (bench) => {
    await bench.run(name, {
      containers: [{
        script: `trap "exit 9" TERM; mkdir /www; echo fine > /www/healthy
          /bin/busybox httpd -f -p 8080 -h /www & echo $! > /tmp/server
          while :; do sleep 1000 & wait $!; done`,
        startupProbe: { ...probe, periodSeconds: 1, timeoutSeconds: 10 },
        livenessProbe: { ...probe, ...EVERY_SECOND, timeoutSeconds: 2 },
      }],
    });
    await bench.exec(name, "touch /tmp/sick; kill $(cat /tmp/server)");
    const status = await bench.until(
      name,
      "restarted",
      (status) => container(status).restartCount === 1 && isReady(status),
    );
    assert.equal(container(status).lastState.terminated?.exitCode, 9);
    assert.deepEqual((await attempts(bench, name)).at(-1), ["main", 1]);
    const told = (await bench.kubelet.log()).split("\n").filter((line) => line.includes(name));
    assert.ok(told.some((line) => line.includes("failed liveness probe")));
    assert.equal((await bench.sandboxes(name)).length, 1);
  });
}

test("a container that crashes is made again with the next attempt, later each time", async (bench) => {
  await bench.apply("crashing", { containers: [{ script: "echo oops; exit 3" }] });
  await bench.until(
    "crashing",
    "in back-off",
    (status) => container(status).state.waiting?.reason === "CrashLoopBackOff",
  );
  const status = await bench.until(
    "crashing",
    "three attempts",
    (status) =>
      container(status).restartCount === 2 &&
      container(status).state.waiting?.reason === "CrashLoopBackOff",
  );
  const { terminated } = container(status).lastState;
  assert.equal(terminated?.exitCode, 3);
  assert.equal(terminated?.reason, "Error");
  assert.equal((await attempts(bench, "crashing")).at(-1)?.[1], 2);
  assert.equal((await bench.sandboxes("crashing")).length, 1);
  assert.deepEqual(await bench.log("crashing", "main", 2), ["oops"]);
});

test("init containers run one after the other, a sidecar beside what follows, then the containers", async (bench) => {
  const note = (name: string) => `echo "${name}" >> /order/list`;
  const volumeMounts = [{ name: "order", mountPath: "/order" }];
  const spec: PodSpec = {
    volumes: [{ name: "order", emptyDir: {} }],
    initContainers: [
      { name: "first", script: `sleep 1; ${note("first")}`, volumeMounts },
      {
        name: "sidecar",
        restartPolicy: "Always",
        script: `${note("sidecar")}; ${WAITING}`,
        startupProbe: { ...exec("grep -q sidecar /order/list"), periodSeconds: 1 },
        volumeMounts,
      },
      { name: "second", script: note("second"), volumeMounts },
    ],
    containers: [{ script: `${note("main")}; ${WAITING}`, volumeMounts }],
  };
  const status = await bench.run("initiated", spec);
  await bench.says("initiated", "hello");
  assert.equal(
    await bench.exec("initiated", "cat /order/list"),
    "first\nsidecar\nsecond\nmain",
  );
  for (const name of ["first", "second"]) {
    assert.equal(container(status, name).state.terminated?.reason, "Completed");
  }
  assert.ok(container(status, "sidecar").ready);
});

test("an init container that fails is tried again before anything else starts", async (bench) => {
  await bench.run("stubborn", {
    volumes: [{ name: "work", emptyDir: {} }],
    initContainers: [{
      name: "init",
      script: "echo x >> /work/tries; test $(wc -l < /work/tries) = 2",
      volumeMounts: [{ name: "work", mountPath: "/work" }],
    }],
    containers: [{ volumeMounts: [{ name: "work", mountPath: "/work" }] }],
  });
  assert.equal(await bench.exec("stubborn", "cat /work/tries"), "x\nx");
});

test("the kubelet rotates a log, and no line is lost or cut", async (bench) => {
  const count = 20_000;
  await bench.run("talking", {
    containers: [{
      script: `i=0
        while [ $i -lt ${count} ]; do
          echo "line $i of many that fill the log"; i=$((i+1))
          [ $((i % 1000)) = 0 ] && sleep 1
        done
        echo finished; exec sleep 1000`,
    }],
  });
  await bench.says("talking", "finished");
  const [made] = await bench.containers("talking");
  const { status } = await bench.client.runtime.containerStatus({ containerId: made!.id });
  // As we look, a file may be packed under another name: then it is there twice, or not at all.
  let last: unknown;
  const { lines, files } = await eventually("every line is there", async () => {
    const found = await readRotated(status!.logPath).catch((error) => void (last = error));
    if (found === undefined) return undefined;
    last = found.lines.length;
    return last === count + 1 ? found : undefined;
  }, 60_000).catch((error) => {
    throw new Error(`${error.message}; at last: ${last}`);
  });
  assert.ok(files > 2, `the kubelet rotated the log: ${files} files`);
  lines.slice(0, count).forEach((line, i) =>
    assert.equal(line, `line ${i} of many that fill the log`)
  );
});

/** Every line of a log, and of what it was rotated to; a line may have come in parts. */
async function readRotated(path: string): Promise<{ lines: string[]; files: number }> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => !name.endsWith(".tmp"));
  // The rotated ones carry the time in their names, and the current one has what came last.
  const current = path.slice(folder.length + 1);
  const ordered = names.filter((name) => name !== current).toSorted().concat(current);
  const lines: string[] = [];
  let part = "";
  for (const name of ordered) {
    const bytes = await Deno.readFile(`${folder}/${name}`);
    const text = new TextDecoder().decode(name.endsWith(".gz") ? gunzipSync(bytes) : bytes);
    for (const line of text.split("\n").slice(0, -1)) {
      const match = /^\S+ stdout ([FP]) (.*)$/.exec(line);
      assert.ok(match !== null, `a whole line: ${line}`);
      part += match[2]!;
      if (match[1] === "P") continue;
      lines.push(part);
      part = "";
    }
  }
  return { lines, files: names.length };
}

test("the termination message is the file that the container wrote", async (bench) => {
  await bench.apply("farewell", {
    restartPolicy: "Never",
    containers: [{
      terminationMessagePath: "/dev/last-words",
      script: "echo log; printf 'see you' > /dev/last-words; exit 1",
    }],
  });
  const status = await bench.until("farewell", "failed", ({ phase }) => phase === "Failed");
  const { terminated } = container(status).state;
  assert.equal(terminated?.message, "see you");
  assert.equal(terminated?.exitCode, 1);
});

test("the termination message is the end of the log where that was asked for and the container failed", async (bench) => {
  await bench.apply("obituary", {
    restartPolicy: "Never",
    containers: [{
      terminationMessagePolicy: "FallbackToLogsOnError",
      script: "echo first; echo 'cause of it' >&2; exit 1",
    }, {
      name: "content",
      terminationMessagePolicy: "FallbackToLogsOnError",
      script: "echo all is well",
    }],
  });
  const status = await bench.until("obituary", "failed", ({ phase }) => phase === "Failed");
  assert.equal(container(status).state.terminated?.message, "first\ncause of it\n");
  assert.equal(container(status, "content").state.terminated?.message, undefined);
  assert.equal(container(status, "content").state.terminated?.reason, "Completed");
});

test("a container over its memory limit is OOMKilled, and runs again", async (bench) => {
  await bench.apply("greedy", {
    containers: [{
      resources: { limits: { memory: "20Mi" } },
      script: `[ -e /flag/again ] && exec sleep 1000; touch /flag/again; tail /dev/zero`,
      volumeMounts: [{ name: "flag", mountPath: "/flag" }],
    }],
    volumes: [{ name: "flag", emptyDir: {} }],
  });
  const status = await bench.until(
    "greedy",
    "restarted",
    (status) => isReady(status) && container(status).restartCount > 0,
  );
  assert.equal(container(status).lastState.terminated?.reason, "OOMKilled");
  assert.equal(container(status).lastState.terminated?.exitCode, 137);
});

test("a pod goes gracefully: preStop inside, SIGTERM, its grace period, SIGKILL; nothing of it stays", async (bench) => {
  const traces = `${bench.node.directory}/traces`;
  await Deno.mkdir(traces);
  const volumeMounts = [{ name: "traces", mountPath: "/traces" }];
  await bench.run("leaving", {
    terminationGracePeriodSeconds: 4,
    volumes: [{ name: "traces", hostPath: { path: traces } }],
    containers: [{
      name: "polite",
      script:
        `trap 'echo term >> /traces/polite; exit 0' TERM; while :; do sleep 1000 & wait $!; done`,
      lifecycle: {
        postStart: exec("echo started >> /traces/polite"),
        preStop: exec("echo prestop >> /traces/polite; sleep 1; echo stopped >> /traces/polite"),
      },
      volumeMounts,
    }, {
      name: "deaf",
      script:
        `trap 'echo term $(cut -d. -f1 /proc/uptime) >> /traces/deaf' TERM; echo up > /traces/deaf
         while :; do cut -d. -f1 /proc/uptime > /traces/last; sleep 0.2; done`,
      volumeMounts,
    }],
  });
  assert.equal(await Deno.readTextFile(`${traces}/polite`), "started\n");
  await bench.remove("leaving");
  assert.equal(await Deno.readTextFile(`${traces}/polite`), "started\nprestop\nstopped\nterm\n");
  const told = /^up\nterm (\d+)\n$/.exec(await Deno.readTextFile(`${traces}/deaf`));
  assert.ok(told !== null, "SIGTERM came once");
  const lived = Number(await Deno.readTextFile(`${traces}/last`)) - Number(told[1]);
  assert.ok(lived >= 3, `it had its grace period, and lived for ${lived} seconds of it`);
  assert.deepEqual(await residue(bench), []);
});

/**
 * What stays on the host beside the kubelet's own cgroups. The kubelet removes volumes and cgroups of
 * a pod in the background, and its sandboxes with the next garbage collection, a minute later.
 */
async function residue({ node }: KubeletBench): Promise<string[]> {
  let left: string[] = [];
  const gone = eventually("nothing is left", async () => {
    left = (await node.residue()).filter((line) => !isKubelets(line, node));
    return left.length === 0 ? left : undefined;
  }, 300_000);
  return await gone.catch(() => left);
}

function isKubelets(line: string, node: { directory: string; cgroupParent: string }): boolean {
  return line.endsWith(node.cgroupParent) || /^cgroup .*\/kubepods(\/b\w+)?$/.test(line) ||
    line === `mount ${node.directory}/kubelet/root` || line.includes("/kubelet --config=");
}

test("a sandbox that was stopped is made anew with the next attempt", async (bench) => {
  await bench.run("struck", { containers: [{}] });
  const [before] = await bench.sandboxes("struck");
  await bench.client.runtime.stopPodSandbox({ podSandboxId: before!.id });
  const after = await eventually("another sandbox is ready", async () => {
    const found = (await bench.sandboxes("struck")).at(-1);
    return found?.id !== before!.id && found?.state === PodSandboxState.SANDBOX_READY
      ? found
      : undefined;
  }, 300_000);
  assert.equal(after.metadata?.attempt, 1);
  const [made] = (await bench.containers("struck")).slice(-1);
  await bench.until(
    "struck",
    "ready in the new sandbox",
    (status) =>
      isReady(status) && made !== undefined &&
      container(status).containerID !== undefined,
  );
});

test("a pod on the host's network has its addresses and its name", async (bench) => {
  await bench.run("outside", { hostNetwork: true, containers: [{}] });
  assert.equal(
    await bench.exec("outside", "readlink /proc/self/ns/net"),
    await Deno.readLink("/proc/self/ns/net"),
  );
  assert.equal(await bench.exec("outside", "hostname"), Deno.hostname());
});

test("a host port leads to the container, from the host too, until the pod has gone", async (bench) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await bench.run("open", {
    containers: [{
      script: "mkdir /www; echo served > /www/page; exec /bin/busybox httpd -f -p 8080 -h /www",
      ports: [{ containerPort: 8080, hostPort: port }],
      readinessProbe: { tcpSocket: { port: 8080 }, ...EVERY_SECOND },
    }],
  });
  const page = async () => await (await fetch(`http://127.0.0.1:${port}/page`)).text();
  assert.equal(await page(), "served\n");
  await bench.restartRuntime("kill");
  assert.equal(await page(), "served\n");
  await bench.remove("open");
  await assert.rejects(page());
});

test("hostPID and hostIPC are the host's namespaces", async (bench) => {
  await bench.run("shared", { hostPID: true, hostIPC: true, containers: [{}] });
  for (const kind of ["pid", "ipc"]) {
    assert.equal(
      await bench.exec("shared", `readlink /proc/self/ns/${kind}`),
      await Deno.readLink(`/proc/self/ns/${kind}`),
    );
  }
});

test("a pod that shares its process namespace sees all of its processes, also in a later attempt", async (bench) => {
  await bench.run("family", {
    shareProcessNamespace: true,
    containers: [{}, {
      name: "brief",
      script: 'echo up; trap "exit 5" USR1; sleep 1000 & wait $!',
    }],
  });
  const namespace = async (name: string) =>
    await bench.exec("family", "readlink /proc/self/ns/pid", name);
  const shared = await namespace("main");
  assert.equal(await namespace("brief"), shared);
  assert.notEqual(shared, await Deno.readLink("/proc/self/ns/pid"));
  // The shell of the neighbour ends, seen and told from here.
  await bench.exec("family", `kill -USR1 $(ps | awk '/echo up/ && !/awk/ {print $1}')`);
  const status = await bench.until(
    "family",
    "restarted",
    (status) => container(status, "brief").restartCount === 1 && isReady(status),
  );
  assert.equal(container(status, "brief").lastState.terminated?.exitCode, 5);
  assert.equal(container(status).restartCount, 0);
  assert.equal(await namespace("brief"), shared);
  assert.equal((await bench.sandboxes("family")).length, 1);
});

test("volumes: emptyDir on disk and in memory, subPath, the pod's own fields", async (bench) => {
  await bench.run("bags", {
    volumes: [
      { name: "disk", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      {
        name: "fields",
        downwardAPI: {
          items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }],
        },
      },
    ],
    containers: [{
      env: [
        { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
      volumeMounts: [
        { name: "disk", mountPath: "/disk" },
        { name: "disk", mountPath: "/part", subPath: "below/it" },
        { name: "memory", mountPath: "/memory" },
        { name: "memory", mountPath: "/frozen", readOnly: true },
        { name: "fields", mountPath: "/fields" },
      ],
    }, {
      name: "neighbour",
      volumeMounts: [{ name: "disk", mountPath: "/disk" }],
    }],
  }, { labels: { colour: "green" } });
  const sh = (script: string, name?: string) => bench.exec("bags", script, name);
  await sh("echo shared > /part/file");
  assert.equal(await sh("cat /disk/below/it/file", "neighbour"), "shared");
  assert.match(await sh("grep ' /memory ' /proc/mounts"), /^tmpfs .*size=1024k/);
  await sh("! touch /frozen/file 2>/dev/null");
  assert.equal(await sh("cat /fields/labels"), 'colour="green"');
  assert.equal(await sh("echo $NAME"), "bags-testnode");
  assert.match(await sh("ip addr show eth0"), new RegExp(`inet ${await sh("echo $POD_IP")}/`));
});

test("the pod's hosts file, name servers and host name are as its manifest says", async (bench) => {
  const status = await bench.run("named", {
    hostname: "chosen",
    subdomain: "below",
    hostAliases: [{ ip: "192.0.2.7", hostnames: ["seven.test"] }],
    dnsPolicy: "None",
    dnsConfig: {
      nameservers: ["192.0.2.53"],
      searches: ["a.test", "b.test"],
      options: [{ name: "ndots", value: "3" }],
    },
    containers: [{}],
  });
  assert.equal(await bench.exec("named", "hostname"), "chosen");
  const hosts = await bench.exec("named", "cat /etc/hosts");
  assert.match(hosts, /^192\.0\.2\.7\s+seven\.test$/m);
  assert.match(hosts, new RegExp(`^${status.podIP}\\s.*\\bchosen$`, "m"));
  assert.equal(
    await bench.exec("named", "cat /etc/resolv.conf"),
    "search a.test b.test\nnameserver 192.0.2.53\noptions ndots:3",
  );
});

test("a security context is what the processes have", async (bench) => {
  await bench.run("guarded", {
    securityContext: {
      runAsUser: 1000,
      runAsGroup: 2000,
      fsGroup: 3000,
      supplementalGroups: [4000],
      seccompProfile: { type: "RuntimeDefault" },
      sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
    },
    volumes: [{ name: "memory", emptyDir: { medium: "Memory" } }],
    containers: [{
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] },
      },
      volumeMounts: [{ name: "memory", mountPath: "/memory" }],
    }],
  });
  const sh = (script: string) => bench.exec("guarded", script);
  assert.equal(await sh("id -u; id -g; id -G"), "1000\n2000\n2000 3000 4000");
  await sh("! touch /file 2>/dev/null");
  assert.equal(await sh("touch /memory/file && stat -c %g /memory/file"), "3000");
  const status = await sh("cat /proc/1/status");
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^Seccomp:\s+2$/m);
  assert.match(status, /^CapBnd:\s+0000000000000400$/m);
  assert.equal(await sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
});

test("a privileged container sees the host's devices", async (bench) => {
  await bench.run("mighty", { containers: [{ securityContext: { privileged: true } }] });
  assert.equal(await bench.exec("mighty", "test -c /dev/kmsg && echo there"), "there");
  assert.match(await bench.exec("mighty", "cat /proc/1/status"), /^Seccomp:\s+0$/m);
});

test("requests and limits are what the kernel was told", async (bench) => {
  await bench.run("measured", {
    containers: [{
      resources: {
        requests: { cpu: "100m", memory: "32Mi" },
        limits: { cpu: "500m", memory: "64Mi" },
      },
    }],
  });
  const [made] = await bench.containers("measured");
  const { status } = await bench.client.runtime.containerStatus({ containerId: made!.id });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, BigInt(64 << 20));
  assert.equal(status?.resources?.linux?.cpuQuota, 50_000n);
  assert.equal(status?.resources?.linux?.cpuShares, 102n);
});

test("an image that is not there is said to be so, and the pod starts when it comes", async (bench) => {
  await bench.apply("late", { containers: [{ image: bench.image("late") }] });
  const status = await bench.until(
    "late",
    "waiting for its image",
    (status) =>
      ["ErrImagePull", "ImagePullBackOff"].includes(container(status).state.waiting?.reason ?? ""),
  );
  assert.match(container(status).state.waiting?.message ?? "", /test\/late/);
  await bench.push("late", busyboxImage({ config: { Cmd: ["/bin/sh"], Env: ["A=late"] } }));
  await bench.untilReady("late");
});

test("the runtime is killed and started again: every container runs on in its sandbox", async (bench) => {
  const names = ["one", "two", "three"];
  for (const name of names) {
    await bench.apply(name, {
      containers: [{ livenessProbe: { ...exec("true"), periodSeconds: 1 } }],
    });
  }
  for (const name of names) await bench.untilReady(name);
  const before = await picture(bench);
  for (let round = 0; round < 3; round++) {
    await bench.restartRuntime("kill", async () => {
      // Long enough for the kubelet to notice, and to ask in vain.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
    });
    for (const name of names) await bench.untilReady(name);
  }
  await syncs(bench);
  assert.deepEqual(await picture(bench), before);
});

test("the runtime is killed as pods start: they all run, each in one sandbox that is ready", async (bench) => {
  const names = Array.from({ length: 6 }, (_, i) => `hasty-${i}`);
  for (const name of names) await bench.apply(name, { containers: [{}] });
  for (let round = 0; round < 4; round++) {
    await eventually("the runtime is at work", async () => {
      return (await bench.sandboxes()).length > round ? true : undefined;
    }, 300_000);
    await bench.restartRuntime("kill");
  }
  for (const name of names) await bench.untilReady(name);
  const ready = (await bench.sandboxes()).filter(({ state }) =>
    state === PodSandboxState.SANDBOX_READY
  );
  assert.equal(ready.length, names.length);
  await bench.clear();
  await bench.untilEmpty();
  assert.deepEqual(await residue(bench), []);
});

test("the kubelet is killed and started again: no sandbox and no container is made anew", async (bench) => {
  await bench.run("stay", { containers: [{}] });
  await bench.run("stay-outside", { hostNetwork: true, containers: [{}, { name: "more" }] });
  const before = await picture(bench);
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await bench.kubelet.stop(signal);
    await bench.kubelet.start();
    for (const name of ["stay", "stay-outside"]) await bench.untilReady(name);
    await syncs(bench);
    assert.deepEqual(await picture(bench), before);
  }
});

test("a container that ended while the kubelet and the runtime were down is made again", async (bench) => {
  await bench.run("gone", {
    containers: [{ script: 'trap "exit 4" TERM; while :; do sleep 0.1; done' }],
  });
  const [made] = await bench.containers("gone");
  const { info } = await bench.client.runtime.containerStatus({
    containerId: made!.id,
    verbose: true,
  });
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
  await bench.kubelet.stop();
  await bench.restartRuntime("kill", async () => {
    Deno.kill(pid, "SIGTERM");
    await eventually("it has ended", () => {
      try {
        Deno.statSync(`/proc/${pid}`);
        return undefined;
      } catch {
        return true;
      }
    });
  });
  await bench.kubelet.start();
  const status = await bench.until(
    "gone",
    "restarted",
    (status) => isReady(status) && container(status).restartCount === 1,
  );
  assert.equal(container(status).lastState.terminated?.exitCode, 4);
});

test("nothing is made anew without a cause, for as long as one looks", async (bench) => {
  const volumes = [{ name: "memory", emptyDir: { medium: "Memory" } }];
  const pods: Record<string, PodSpec> = {
    "calm-plain": { containers: [{}, { name: "second" }] },
    "calm-outside": { hostNetwork: true, hostPID: true, hostIPC: true, containers: [{}] },
    "calm-family": { shareProcessNamespace: true, containers: [{}, { name: "second" }] },
    "calm-initiated": { initContainers: [{ name: "init", script: "true" }], containers: [{}] },
    "calm-probed": {
      containers: [{
        livenessProbe: { ...exec("true"), periodSeconds: 5 },
        readinessProbe: { ...exec("true"), periodSeconds: 5 },
      }],
    },
    "calm-guarded": {
      volumes,
      securityContext: {
        runAsUser: 1000,
        fsGroup: 3000,
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [{
        resources: { limits: { cpu: "500m", memory: "64Mi" } },
        volumeMounts: [{ name: "memory", mountPath: "/memory" }],
      }],
    },
    "calm-finished": { restartPolicy: "Never", containers: [{ script: "true" }, { name: "rest" }] },
  };
  for (const [name, spec] of Object.entries(pods)) await bench.apply(name, spec);
  for (const name of Object.keys(pods)) {
    await bench.until(
      name,
      "running",
      (status) =>
        name === "calm-finished"
          ? container(status).state.terminated !== undefined
          : isReady(status),
    );
  }
  const before = await picture(bench);
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  assert.deepEqual(await picture(bench), before);
});

test("image garbage collection takes what nobody uses, and nothing else", async (bench) => {
  const has = async (name: string) => {
    const { image } = await bench.client.images.imageStatus({
      image: { image: bench.image(name) },
    });
    return image !== undefined;
  };
  await bench.run("holding", { containers: [{ image: bench.image("used") }] });
  // It collects every five minutes.
  await eventually(
    "the unused image has gone",
    async () => !await has("unused") || undefined,
    3_000_000,
  );
  assert.ok(await has("used"));
  await bench.untilReady("holding");
});

/** Ids of the sandboxes that are ready and of the containers that run. */
async function picture({ client }: KubeletBench): Promise<string[]> {
  const { items } = await client.runtime.listPodSandbox({});
  const { containers } = await client.runtime.listContainers({});
  return [
    ...items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY),
    ...containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING),
  ].map(({ id }) => id).toSorted();
}

/** Two rounds of the kubelet's looking after every pod. */
async function syncs(_bench: KubeletBench): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 25_000));
}
