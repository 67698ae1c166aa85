import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { environmentOf } from "./container_environment.ts";
import { parseManifest } from "./manifest.ts";
import { type PodFacts, podFieldText } from "./pod_fields.ts";
import type { PodManifest } from "./pod_manifest.ts";
import type { Volume } from "./volume_manifest.ts";

const FACTS: PodFacts = {
  uid: "11111111-2222-3333-4444-555555555555",
  name: "web",
  namespace: "default",
  nodeName: "node1",
  serviceAccountName: "default",
  labels: { app: "web", tier: 'a"b' },
  annotations: { note: "x" },
  ips: ["10.0.0.2", "fd00::2"],
  node: { cpu: 2000n, memory: 1n << 30n },
};

const CONFIG = `
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { COLOUR: blue, SIZE: "12", page.html: "<p>" }
binaryData: { bin: AAH/ }
---
apiVersion: v1
kind: Secret
metadata: { name: keys }
type: Opaque
data: { password: c2VjcmV0, both: b2xk }
stringData: { both: new }
`;

function podText(spec: string, container = ""): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec:
${spec}
  containers:
  - name: c
    image: a:1
${container}
`;
}

function onlyPod(text: string): PodManifest {
  const { pods } = parseManifest({ text });
  assert.equal(pods.length, 1);
  return pods[0]!;
}

function environment(container: string): Record<string, string> {
  const { variables, resources } = onlyPod(`${podText("", container)}---${CONFIG}`).containers[0]!;
  return Object.fromEntries(environmentOf(variables, FACTS, resources));
}

function refuses(text: string, message: RegExp): void {
  assert.throws(() => parseManifest({ text }), (error: unknown) => {
    assert.ok(error instanceof InvalidArgumentError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("variables come from ConfigMaps and Secrets that may stand behind the pod", () => {
  assert.deepEqual(
    environment(
      `
    envFrom:
    - { configMapRef: { name: settings }, prefix: S_ }
    - { secretRef: { name: absent, optional: true } }
    env:
    - { name: PASSWORD, valueFrom: { secretKeyRef: { name: keys, key: password } } }
    - { name: URL, value: "x-$(S_COLOUR)-$(PASSWORD)" }
    - { name: GONE, valueFrom: { configMapKeyRef: { name: settings, key: no, optional: true } } }
    - { name: S_SIZE, value: "13" }
    `.replace("- { configMapRef", "- { configMapRef").trimEnd(),
    ),
    {
      S_COLOUR: "blue",
      S_SIZE: "13",
      "S_page.html": "<p>",
      PASSWORD: "secret",
      URL: "x-blue-secret",
    },
  );
});

Deno.test("variables come from fields of the pod and resources of the container", () => {
  assert.deepEqual(
    environment(`
    resources: { limits: { cpu: 250m } }
    env:
    - { name: IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: IPS, valueFrom: { fieldRef: { fieldPath: status.podIPs } } }
    - { name: APP, valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } }
    - { name: UID, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
    - { name: CPUS, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }
    - { name: MILLI, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: 1m } } }
    - { name: MEM, valueFrom: { resourceFieldRef: { resource: limits.memory, divisor: 1Mi } } }
    - { name: ALL, value: "$(IP)!" }`),
    {
      IP: "10.0.0.2",
      IPS: "10.0.0.2,fd00::2",
      APP: "web",
      UID: FACTS.uid,
      CPUS: "1",
      MILLI: "250",
      MEM: "1024",
      ALL: "10.0.0.2!",
    },
  );
  assert.equal(
    podFieldText({ kind: "labels", key: undefined }, FACTS),
    'app="web"\ntier="a\\"b"',
  );
});

Deno.test("a reference to what is not there is refused with its line, unless it is optional", () => {
  const env = (ref: string) =>
    `${podText("", `    env: [{ name: A, valueFrom: ${ref} }]`)}---${CONFIG}`;
  refuses(
    env("{ configMapKeyRef: { name: setings, key: COLOUR } }"),
    /configMapKeyRef\.name names the ConfigMap "setings", which is not here .* \(line 10\)$/,
  );
  refuses(
    env("{ secretKeyRef: { name: keys, key: no } }"),
    /key "no" is no key of the Secret keys/,
  );
  refuses(
    env("{ fieldRef: { fieldPath: status.phase } }"),
    /fieldPath "status\.phase" is not supp/,
  );
  refuses(env("{ secretKeyRef: {}, fieldRef: {} }"), /must have one of/);
  // Another namespace's object is none of this pod's.
  refuses(
    env("{ configMapKeyRef: { name: settings, key: COLOUR } }").replace(
      "name: settings }\ndata",
      "name: settings, namespace: other }\ndata",
    ),
    /not here in the namespace default/,
  );
});

Deno.test("hostile and damaged data of ConfigMaps and Secrets is refused, and no secret is told", () => {
  const map = (data: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\n${data}`;
  for (const key of ["../x", "..", ".", "a/b", "..data", "a b", '"a\\0"', "''"]) {
    refuses(map(`data: { ${key}: x }`), /has a key that is no file name/);
  }
  refuses(map("binaryData: { a: '%%' }"), /binaryData\.a is not base64/);
  refuses(map("data: { a: x }\nbinaryData: { a: AAAA }"), /is in data, too/);
  refuses(map(`data: { a: ${"x".repeat(1 << 20)}y }`), /over 1048576 bytes/);
  refuses(map("data: { a: 1 }"), /data\.a must be a string \(line 4\)$/);
  refuses(`${map("data: {}")}\n---\n${map("data: {}")}`, /is the second ConfigMap default\/m/);
  refuses(
    "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: hunter-2! }",
    /^data\.a is not base64 \(line 4\)$/,
  );
});

function filesOf(volume: Volume | undefined): Record<string, [content: string, mode: number]> {
  assert.equal(volume?.kind, "files");
  return Object.fromEntries(volume.files.map(({ path, mode, content }) => [
    path,
    [
      content instanceof Uint8Array
        ? new TextDecoder().decode(content)
        : podFieldText(content, FACTS),
      mode,
    ],
  ]));
}

Deno.test("volumes of ConfigMaps, Secrets and fields name their files, with octal modes", () => {
  const { volumes } = onlyPod(`${
    podText(`
  volumes:
  - name: chosen
    configMap: { name: settings, defaultMode: 0400, items: [{ key: SIZE, path: a/size, mode: 0o600 }] }
  - name: secret
    secret: { secretName: keys, defaultMode: 256 }
  - name: mixed
    projected:
      sources:
      - secret: { name: keys, items: [{ key: password, path: pw }] }
      - downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] }
      - configMap: { name: absent, optional: true }
  - name: memory
    emptyDir: { medium: Memory }`)
  }---${CONFIG}`);
  assert.deepEqual(filesOf(volumes.get("chosen")), { "a/size": ["12", 0o600] });
  assert.deepEqual(filesOf(volumes.get("secret")), {
    password: ["secret", 0o400],
    both: ["new", 0o400],
  });
  assert.deepEqual(filesOf(volumes.get("mixed")), {
    pw: ["secret", 0o644],
    labels: ['app="web"\ntier="a\\"b"', 0o644],
  });
  assert.deepEqual(volumes.get("memory"), { kind: "emptyDir" });
});

Deno.test("volume paths cannot leave the volume", () => {
  const volume = (text: string) => `${podText(`  volumes: [${text}]`)}---${CONFIG}`;
  for (const path of ["/etc/x", "../x", "a/../x", "..x", "a//b", "", "a/", "x\\0y"]) {
    refuses(
      volume(`{ name: v, configMap: { name: settings, items: [{ key: SIZE, path: "${path}" }] } }`),
      /items\[0\]\.path ".*" must be a relative path/,
    );
  }
  refuses(
    volume(
      "{ name: v, configMap: { name: settings, " +
        "items: [{ key: SIZE, path: a }, { key: COLOUR, path: a/b }] } }",
    ),
    /"a" as a file and as a folder/,
  );
  refuses(volume("{ name: v, emptyDir: {}, hostPath: { path: / } }"), /must have one of emptyDir/);
  refuses(volume("{ name: v, hostPath: { path: /, type: Socke } }"), /type must be .*Socket/);
  refuses(
    volume("{ name: v, configMap: { name: settings, defaultMode: 0999 } }"),
    /permission bits/,
  );
});

Deno.test("subPath is taken of volumes that nobody can write", () => {
  const pod = (mount: string) =>
    `${
      podText(
        "  volumes: [{ name: v, configMap: { name: settings } }, { name: e, emptyDir: {} }]",
        `    volumeMounts: [${mount}]`,
      )
    }---${CONFIG}`;
  const { containers } = onlyPod(pod("{ name: v, mountPath: /x, subPath: page.html }"));
  assert.deepEqual(containers[0]!.mounts[0], {
    volume: "v",
    mountPath: "/x",
    subPath: "page.html",
    readOnly: true,
    propagation: "None",
  });
  refuses(pod("{ name: v, mountPath: /x, subPath: ../../x }"), /must be a relative path/);
  refuses(pod("{ name: v, mountPath: /x, subPath: other }"), /"other" is not in the volume/);
  refuses(pod("{ name: e, mountPath: /x, subPath: a }"), /supported for configMap, secret/);
});

Deno.test("init containers keep their order, and sidecars are those that are restarted always", () => {
  const { initContainers, notes } = onlyPod(podText(
    `  initContainers:
  - { name: one, image: a:1 }
  - { name: two, image: a:1, restartPolicy: Always, startupProbe: { exec: {} } }`,
    "    livenessProbe: { httpGet: {} }",
  ));
  assert.deepEqual(initContainers.map(({ name, sidecar }) => [name, sidecar]), [
    ["one", false],
    ["two", true],
  ]);
  assert.deepEqual(notes, [
    "spec.containers[0].livenessProbe is not run: probes need a kubelet",
    "spec.initContainers[1].startupProbe is not run: probes need a kubelet",
  ]);
  refuses(
    podText("", "    restartPolicy: Always"),
    /containers\[0\]\.restartPolicy is not supported/,
  );
  refuses(podText("  initContainers: [{ name: c, image: a }]"), /has a name twice/);
});

Deno.test("one pod of a controller is run, and what concerns a cluster is noted", () => {
  const { pods, notes } = parseManifest({
    text: `
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, namespace: live }
spec:
  replicas: 3
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec: { containers: [{ name: c, image: a }] }
---
apiVersion: v1
kind: Service
metadata: { name: shop }
spec: { anything: 1 }
`,
  });
  assert.deepEqual(pods.map((pod) => [pod.namespace, pod.name, pod.labels]), [
    ["live", "shop-pod", { app: "shop" }],
  ]);
  assert.deepEqual(pods[0]!.notes, ["one pod of the Deployment is run, not 3"]);
  assert.deepEqual(notes, ["the Service is not used here: it means something to a cluster only"]);
});

Deno.test("a List is its items, and configuration may come from other files", () => {
  const { pods } = parseManifest(
    {
      name: "pod.yaml",
      text: JSON.stringify({
        apiVersion: "v1",
        kind: "List",
        items: [{
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "p" },
          spec: {
            containers: [{
              name: "c",
              image: "a",
              envFrom: [{ configMapRef: { name: "settings" } }],
            }],
          },
        }],
      }),
    },
    [{ text: CONFIG, name: "config.yaml" }],
  );
  assert.deepEqual(pods[0]!.containers[0]!.variables.map(({ name }) => name), [
    "COLOUR",
    "SIZE",
    "page.html",
  ]);
  assert.throws(
    () => parseManifest({ text: CONFIG }, [{ text: podText(""), name: "extra.yaml" }]),
    /must be a ConfigMap or a Secret here, not "Pod" \(extra\.yaml, line 2\)/,
  );
});
