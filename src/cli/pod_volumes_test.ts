import assert from "node:assert/strict";
import { parseManifest } from "./manifest.ts";
import { makeVolumes, prepareHostPaths } from "./pod_volumes.ts";
import type { PodFacts } from "./pod_fields.ts";

const FACTS: PodFacts = {
  uid: "11111111-2222-3333-4444-555555555555",
  name: "p",
  namespace: "default",
  nodeName: "node1",
  serviceAccountName: "default",
  labels: {},
  annotations: {},
  ips: [],
  node: { cpu: 1000n, memory: 1n << 30n },
};

function podWith(volumes: string, security = "") {
  const text = `
apiVersion: v1
kind: Pod
metadata: { name: p }
spec:
  volumes: ${volumes}
  ${security}
  containers: [{ name: c, image: a }]
---
apiVersion: v1
kind: Secret
metadata: { name: s }
stringData: { top: one, other: two }
`;
  return parseManifest({ text }).pods[0]!;
}

function mode(path: string): number {
  return (Deno.lstatSync(path).mode ?? 0) & 0o7777;
}

Deno.test("makeVolumes() projects files behind one link, in a folder that only root enters", async () => {
  const root = await Deno.makeTempDir();
  try {
    const pod = podWith(`
  - name: v
    secret: { secretName: s, defaultMode: 0400, items: [{ key: top, path: a/b/top }, { key: other, path: o }] }
  - { name: e, emptyDir: {} }
  - { name: h, hostPath: { path: /proc } }`);
    const paths = await makeVolumes(pod, `${root}/play/uid`, FACTS);
    assert.deepEqual(Object.fromEntries(paths), {
      v: `${root}/play/uid/v`,
      e: `${root}/play/uid/e`,
      h: "/proc",
    });
    assert.equal(mode(`${root}/play`), 0o700);
    assert.equal(mode(`${root}/play/uid`), 0o700);
    const volume = paths.get("v")!;
    assert.equal(await Deno.readTextFile(`${volume}/a/b/top`), "one");
    assert.equal(await Deno.readTextFile(`${volume}/o`), "two");
    assert.equal(await Deno.readLink(`${volume}/a`), "..data/a");
    assert.match(await Deno.readLink(`${volume}/..data`), /^\.\.[0-9_]+$/);
    assert.equal(mode(`${volume}/..data/o`), 0o400);
    assert.equal(mode(volume), 0o755);
    assert.equal(mode(`${volume}/..data/a/b`), 0o755);
    assert.equal(mode(paths.get("e")!), 0o777);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("makeVolumes() lets the group of the pod read its secrets", async () => {
  const root = await Deno.makeTempDir();
  try {
    const group = Deno.gid() ?? 0;
    const pod = podWith(
      "[{ name: v, secret: { secretName: s, defaultMode: 0400 } }, { name: e, emptyDir: {} }]",
      `securityContext: { fsGroup: ${group} }`,
    );
    const paths = await makeVolumes(pod, `${root}/x`, FACTS);
    assert.equal(mode(`${paths.get("v")}/..data/top`), 0o440);
    assert.equal(mode(paths.get("e")!), 0o2777);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("prepareHostPaths() says what a path of the node is not, and makes what may be made", async () => {
  const root = await Deno.makeTempDir();
  const prepare = (path: string, type: string) =>
    prepareHostPaths(podWith(`[{ name: v, hostPath: { path: ${path}, type: ${type} } }]`).volumes);
  try {
    await prepare(`${root}/new`, "DirectoryOrCreate");
    await prepare(`${root}/new`, "Directory");
    await prepare(`${root}/file`, "FileOrCreate");
    await prepare("/dev/null", "CharDevice");
    for (
      const [path, type, message] of [
        [`${root}/file`, "Directory", /file" is no directory/],
        [`${root}/none`, "Directory", /none" is not there/],
        [`${root}/new`, "File", /is no file/],
        [`${root}/file`, "Socket", /is no socket/],
        ["/dev/null", "BlockDevice", /is no block device/],
      ] as const
    ) await assert.rejects(prepare(path, type), message);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
