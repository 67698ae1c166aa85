/** `play` against a real server: init containers, sidecars, configuration, restarts. */
import assert from "node:assert/strict";
import { connectCri } from "../support/cri_client.ts";
import { sauropod, spawnSauropod, volumeFolders, withImage } from "../support/command_line.ts";

const CONFIGURED = `
apiVersion: v1
kind: Secret
metadata: { name: keys }
stringData: { password: hunter2 }
---
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: { runAsUser: 1000, fsGroup: 2000 }
  volumes:
  - { name: work, emptyDir: {} }
  - { name: settings, configMap: { name: settings } }
  - { name: keys, secret: { secretName: keys, defaultMode: 0400 } }
  initContainers:
  - name: first
    image: bb:1
    command: [sh, -c, 'echo first >>/work/order']
    volumeMounts: [{ name: work, mountPath: /work }]
  - name: helper
    image: bb:1
    restartPolicy: Always
    command: [sh, -c, 'echo helper >>/work/order; trap "exit 0" TERM; while :; do sleep 0.1; done']
    volumeMounts: [{ name: work, mountPath: /work }]
  - name: last
    image: bb:1
    command: [sh, -c, 'until grep -q helper /work/order; do sleep 0.05; done; echo last >>/work/order']
    volumeMounts: [{ name: work, mountPath: /work }]
  containers:
  - name: main
    image: bb:1
    command: [sh, -c, 'cat /work/order; cat /etc/app/greeting; cat /one; cat /keys/password; echo " $COLOUR $IP"']
    envFrom: [{ configMapRef: { name: settings } }]
    env: [{ name: IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }]
    livenessProbe: { exec: { command: ["true"] } }
    volumeMounts:
    - { name: work, mountPath: /work }
    - { name: settings, mountPath: /etc/app }
    - { name: settings, mountPath: /one, subPath: greeting }
    - { name: keys, mountPath: /keys }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { COLOUR: blue, greeting: "hello\\n" }
`;

Deno.test("play runs init containers in order, keeps sidecars, and gives configuration", async () => {
  await withImage(async (node) => {
    const { code, out, err } = await sauropod(node, ["play", "--wait", "--rm", "-"], CONFIGURED);
    assert.equal(code, 0, err);
    const lines = out.trim().split("\n").filter((line) => line.startsWith("main: "));
    assert.deepEqual(
      lines.slice(0, 5),
      ["first", "helper", "last", "hello", "hello"].map((line) => `main: ${line}`),
    );
    assert.match(lines[5]!, /^main: hunter2 blue \d+\.\d+\.\d+\.\d+$/);
    assert.match(err, /^note: web: .*livenessProbe is not run/m);
    assert.deepEqual(volumeFolders(node), []);
  });
});

Deno.test("an init container that fails takes the pod with it, and its last words are told", async () => {
  await withImage(async (node) => {
    const text = CONFIGURED.replace("echo first >>/work/order", "echo no luck; exit 4");
    const { code, err } = await sauropod(node, ["play", "-"], text);
    assert.equal(code, 1);
    assert.match(err, /The init container first ended with exit code 4; its last lines: no luck\n/);
    assert.equal((await sauropod(node, ["pods", "-q"])).out, "");
    assert.deepEqual(volumeFolders(node), []);
  });
});

Deno.test("play --wait restarts by restartPolicy with a new attempt, until all have ended", async () => {
  await withImage(async (node) => {
    const text = `
apiVersion: v1
kind: Pod
metadata: { name: again }
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 1
  volumes: [{ name: work, emptyDir: {} }]
  initContainers:
  - name: setup
    image: bb:1
    command: [sh, -c, 'test -e /work/seen || { touch /work/seen; exit 7; }']
    volumeMounts: [{ name: work, mountPath: /work }]
  containers:
  - name: main
    image: bb:1
    command: [sh, -c, 'echo run >>/work/runs; echo "run $(wc -l </work/runs)"; test $(wc -l </work/runs) = 3']
    volumeMounts: [{ name: work, mountPath: /work }]
`;
    const { code, out, err } = await sauropod(node, ["play", "--wait", "-"], text);
    assert.equal(code, 0, err);
    assert.equal(out, "run 1\nrun 2\nrun 3\n");
    assert.match(err, /the init container setup ended with exit code 7, run again now/);
    assert.match(err, /main ended with exit code 1, restarted now \(attempt 1\)/);
    assert.match(err, /main ended with exit code 1, restarted in 1 s \(attempt 2\)/);
    const { containers } = JSON.parse((await sauropod(node, ["ps", "-a", "-o", "json"])).out);
    const main = containers.filter((one: { metadata: { name: string } }) =>
      one.metadata.name === "main"
    );
    assert.deepEqual(main.map((one: { metadata: { attempt: number } }) => one.metadata.attempt), [
      2,
    ]);
    assert.match((await sauropod(node, ["play", "--down", "-"], text)).out, /again .* removed/);
    assert.deepEqual(volumeFolders(node), []);
  });
});

Deno.test("Ctrl-C ends play --wait of a pod that is always restarted, and takes the pod away", async () => {
  await withImage(async (node) => {
    const text = `
apiVersion: v1
kind: Pod
metadata: { name: forever }
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{ name: work, emptyDir: {} }]
  containers:
  - name: main
    image: bb:1
    command: [sh, -c, 'echo running; test -e /work/seen || { touch /work/seen; exit 0; }; sleep 1000']
    volumeMounts: [{ name: work, mountPath: /work }]
`;
    const file = `${node.directory}/forever.yaml`;
    await Deno.writeTextFile(file, text);
    const detached = await sauropod(node, ["play", file]);
    assert.match(detached.err, /are not restarted; restartPolicy Always needs --wait/);
    const child = spawnSauropod(node, ["play", "--replace", "--wait", file]);
    await child.stdin.close();
    const reader = child.stdout.getReader();
    let seen = "";
    while (seen !== "running\nrunning\n") {
      seen += new TextDecoder().decode((await reader.read()).value);
    }
    reader.releaseLock();
    child.kill("SIGINT");
    const { code } = await child.output();
    assert.equal(code, 130);
    assert.equal((await sauropod(node, ["pods", "-q"])).out, "");
    assert.deepEqual(volumeFolders(node), []);
  });
});

Deno.test("volumes of a pod that another client removed go with the next play", async () => {
  await withImage(async (node) => {
    const pod = (name: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  restartPolicy: Never
  volumes: [{ name: work, emptyDir: {} }]
  containers: [{ name: main, image: "bb:1", command: ["true"] }]
`;
    assert.equal((await sauropod(node, ["play", "-"], pod("one"))).code, 0);
    const [first] = volumeFolders(node);
    using client = connectCri(node.socket);
    const { items } = await client.runtime.listPodSandbox({});
    await client.runtime.stopPodSandbox({ podSandboxId: items[0]!.id });
    await client.runtime.removePodSandbox({ podSandboxId: items[0]!.id });
    assert.deepEqual(volumeFolders(node), [first]);
    assert.equal((await sauropod(node, ["play", "-"], pod("two"))).code, 0);
    assert.equal(volumeFolders(node).length, 1);
    assert.notDeepEqual(volumeFolders(node), [first]);
    assert.equal((await sauropod(node, ["play", "--down", "-"], pod("two"))).code, 0);
  });
});
