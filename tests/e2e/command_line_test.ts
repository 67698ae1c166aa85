/** The command line against a real server: pods from a manifest, their output, their end. */
import assert from "node:assert/strict";
import { sauropod, spawnSauropod, volumeFolders, withImage } from "../support/command_line.ts";
import { TestNode } from "../support/test_node.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop }
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{ name: data, emptyDir: {} }]
  containers:
  - name: main
    image: bb:1
    command: [sh, -c, 'echo hello $(WHO); echo oops >&2; echo written > /data/x; exit 3']
    env: [{ name: WHO, value: world }]
    volumeMounts: [{ name: data, mountPath: /data }]
    resources: { limits: { memory: 32Mi } }
  - name: side
    image: bb:1
    command: [sh, -c, 'until [ -s /data/x ]; do sleep 0.05; done; cat /data/x']
    volumeMounts: [{ name: data, mountPath: /data }]
`;

Deno.test("play shows what the containers write and passes the exit status on", async () => {
  await withImage(async (node) => {
    const played = await sauropod(node, ["play", "--wait", "--rm", "-"], POD);
    assert.deepEqual(played.out.trim().split("\n").sort(), ["main: hello world", "side: written"]);
    assert.equal(played.err, "main: oops\n");
    assert.equal(played.code, 3);
    const { out } = await sauropod(node, ["pods", "-q"]);
    assert.equal(out, "");
  });
});

Deno.test("a played pod can be looked at, and play --down takes it away with its volumes", async () => {
  await withImage(async (node) => {
    const long = POD.replace("exit 3", "sleep 1000");
    const played = await sauropod(node, ["play", "-"], long);
    assert.match(played.out, /^shop\/web [0-9a-f]{13} 10\./, played.err);
    const again = await sauropod(node, ["play", "-"], long);
    assert.match(again.err, /runs already.*\n {2}take it away with play --down/);
    assert.equal(again.code, 1);

    const listed = JSON.parse((await sauropod(node, ["ps", "-o", "json"])).out);
    const { id } = listed.containers.find((one: { metadata: { name: string } }) =>
      one.metadata.name === "main"
    );
    const exec = await sauropod(node, ["exec", id.slice(0, 5), "sh", "-c", "cat /data/x; exit 5"]);
    assert.deepEqual([exec.out, exec.code], ["written\n", 5]);
    const logs = await sauropod(node, ["logs", "-t", "main"]);
    assert.match(logs.out, /^\d{4}-\d\d-\d\dT\S+ hello world\n$/);
    const inspected = JSON.parse((await sauropod(node, ["inspect", "web"])).out);
    assert.equal(inspected.kind, "pod");

    const removed = await sauropod(node, ["play", "--down", "-"], long);
    assert.match(removed.out, /^shop\/web [0-9a-f]{13} removed\n$/);
    assert.deepEqual(volumeFolders(node), []);
  });
});

Deno.test("an interrupted run takes its pod away", async () => {
  await withImage(async (node) => {
    const child = spawnSauropod(node, ["run", "bb:1", "sh", "-c", "echo started; sleep 1000"]);
    const reader = child.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    child.kill("SIGINT");
    await child.stdin.close();
    const { code } = await child.output();
    assert.equal(code, 130);
    assert.equal((await sauropod(node, ["pods", "-q"])).out, "");
  });
});

Deno.test("run passes arguments untouched, and its container's exit status on", async () => {
  await withImage(async (node) => {
    const args = [
      "run",
      "--rm",
      "-e",
      "A=$(B)$",
      "bb:1",
      "sh",
      "-c",
      'echo "$A $@"; exit 7',
      "-",
      "-x",
    ];
    const { code, out } = await sauropod(node, args);
    assert.deepEqual([out, code], ["$(B)$ -x\n", 7]);
  });
});

Deno.test("what cannot be done is said with the next step, and exits with a status other than 0", async () => {
  await using node = await TestNode.make();
  const unserved = await sauropod(node, ["pods"]);
  assert.match(unserved.err, /^error: No server answers on .*\n {2}start it with sauropod serve/);
  await node.start();
  for (
    const [args, message, status] of [
      [["logs", "nothing"], /There is no container "nothing"\n {2}see sauropod ps -a/, 1],
      [["rmi", "nothing"], /There is no image "nothing"/, 1],
      [["frobnicate"], /There is no command "frobnicate"/, 2],
      [["pods", "--frob"], /Unknown option '--frob'/, 2],
      [["load", "/nonexistent"], /there is no such file/, 1],
      [["play", "-"], /holds no pod/, 1],
    ] as const
  ) {
    const { err, code } = await sauropod(node, args, "");
    assert.match(err, message);
    assert.equal(code, status, args.join(" "));
  }
});
