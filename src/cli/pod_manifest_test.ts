import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { parseManifest } from "./manifest.ts";
import type { PodFacts } from "./pod_fields.ts";
import { cgroupResources, containerConfig, sandboxConfig } from "./pod_requests.ts";
import { NamespaceMode, Protocol } from "../proto/mod.ts";

const POD = `
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: { app: web }
  creationTimestamp: null
spec:
  hostname: front
  restartPolicy: Never
  tolerations: [{ key: a }]
  volumes:
  - name: data
    emptyDir: {}
  - name: logs
    hostPath: { path: /var/log, type: Directory }
  containers:
  - name: main
    image: busybox:1.36
    command: ["sh", "-c", "echo $(GREETING) $$(GREETING) $(ABSENT)"]
    env:
    - { name: NAME, value: world }
    - { name: GREETING, value: "hello $(NAME)" }
    ports:
    - { name: http, containerPort: 80, hostPort: 8080 }
    - { containerPort: 81 }
    volumeMounts:
    - { name: data, mountPath: /data }
    - { name: logs, mountPath: /logs, readOnly: true }
    resources:
      limits: { cpu: 500m, memory: 64Mi }
      requests: { cpu: 0.25 }
    securityContext:
      runAsUser: 1000
      capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }
      allowPrivilegeEscalation: false
---
apiVersion: v1
kind: Pod
metadata: { name: second }
spec:
  hostNetwork: true
  containers: [{ name: c, image: a }]
`;

const FACTS: PodFacts = {
  uid: "11111111-2222-3333-4444-555555555555",
  name: "web",
  namespace: "shop",
  nodeName: "node1",
  serviceAccountName: "default",
  labels: { app: "web" },
  annotations: {},
  ips: ["10.0.0.2"],
  node: { cpu: 2000n, memory: 640n << 20n },
};

Deno.test("parseManifest() reads pods", () => {
  const [pod, second] = parseManifest({ text: POD }).pods;
  assert.ok(pod !== undefined && second !== undefined);
  const [container] = pod.containers;
  assert.deepEqual(pod.volumes.get("data"), { kind: "emptyDir" });
  assert.deepEqual(pod.notes, ["spec.tolerations is not used here"]);
  assert.equal(container?.pullPolicy, "IfNotPresent");
  assert.equal(second.namespace, "default");
  assert.equal(second.containers[0]?.pullPolicy, "Always");
});

Deno.test("parseManifest() names the path of whatever it does not support", () => {
  const wrong: readonly (readonly [change: (text: string) => string, message: RegExp])[] = [
    [(t) => t.replace("kind: Pod", "kind: Pode"), /^kind "Pode" cannot be played, perhaps Pod is/],
    [(t) => t.replace("kind: Pod", "kind: Deployment"), /^apiVersion must be apps\/v1 \(line 2\)/],
    [
      (t) => t.replace("hostname: front", "hostNam: front"),
      /^spec\.hostNam is no field of a manifest, perhaps hostname is meant \(line 10\)$/,
    ],
    [
      (t) => t.replace("value: world", "valeu: world"),
      /env\[0\]\.valeu is no field of a manifest, perhaps value is meant \(line 23\)$/,
    ],
    [(t) => t.replace("hostname: front", "hostUsers: false"), /^spec\.hostUsers is not supported/],
    [
      (t) => t.replace("image: busybox:1.36", "image: a\n    lifecycle: {}"),
      /^spec\.containers\[0\]\.lifecycle is not supported/,
    ],
    [
      (t) => t.replace("value: world", "valueFrom: {}"),
      /^spec\.containers\[0\]\.env\[0\]\.valueFrom must have one of/,
    ],
    [
      (t) => t.replace("mountPath: /data", "mountPath: data"),
      /volumeMounts\[0\]\.mountPath "data" must be an absolute path/,
    ],
    [(t) => t.replace("emptyDir: {}", "nfs: {}"), /^spec\.volumes\[0\]\.nfs is not supported/],
    [(t) => t.replace("64Mi", "64Mb"), /limits\.memory "64Mb" is no quantity/],
    [(t) => t.replace("name: web", "name: Web"), /^metadata\.name "Web" is not a valid name/],
    [(t) => t.replace("hostPort: 8080", "hostPort: 99999"), /hostPort must be a port number/],
    [(t) => t.replace("name: second", "name: web, namespace: shop"), /shop\/web twice/],
    [(t) => t.replace("kind: Pod", "kind: Pod\nkind: Pod"), /Cannot read the manifest/],
  ];
  for (const [change, message] of wrong) {
    const text = change(POD);
    assert.notEqual(text, POD);
    assert.throws(() => parseManifest({ text }), (error: unknown) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("parseManifest() expands no alias", () => {
  assert.throws(() => parseManifest({ text: "a: &a [1]\nb: *a\n" }));
});

Deno.test("the requests for a pod carry the kubelet's labels, ports and resources", () => {
  const [pod, second] = parseManifest({ text: POD }).pods;
  const sandbox = sandboxConfig(pod!, FACTS.uid);
  assert.equal(sandbox.labels?.["io.kubernetes.pod.uid"], FACTS.uid);
  assert.equal(sandbox.labels?.["app"], "web");
  assert.equal(sandbox.hostname, "front");
  assert.deepEqual(sandbox.portMappings, [
    { protocol: Protocol.TCP, containerPort: 80, hostPort: 8080, hostIp: "" },
  ]);
  const config = containerConfig(pod!.containers[0]!, {
    pod: pod!,
    facts: FACTS,
    attempt: 0,
    volumes: new Map([["data", "/v/data"], ["logs", "/var/log"]]),
    imageRef: "sha256:abc",
  });
  assert.deepEqual(config.command, ["sh", "-c", "echo hello world $(GREETING) $(ABSENT)"]);
  assert.deepEqual(config.linux?.resources, {
    cpuShares: 256n,
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    memoryLimitInBytes: 64n << 20n,
    oomScoreAdj: 900n,
  });
  assert.deepEqual(config.mounts?.map((mount) => [mount.hostPath, mount.readonly]), [
    ["/v/data", false],
    ["/var/log", true],
  ]);
  assert.equal(config.linux?.securityContext?.noNewPrivs, true);
  assert.deepEqual(config.linux?.securityContext?.runAsUser, { value: 1000n });
  assert.ok((config.linux?.securityContext?.maskedPaths?.length ?? 0) > 0);
  const host = sandboxConfig(second!, FACTS.uid).linux?.securityContext?.namespaceOptions;
  assert.equal(host?.network, NamespaceMode.NODE);
});

Deno.test("cgroupResources() follows the kubelet's classes of service", () => {
  const none = {
    cpuRequest: undefined,
    cpuLimit: undefined,
    memoryRequest: undefined,
    memoryLimit: undefined,
  };
  assert.deepEqual(cgroupResources(none, 1n << 30n), { cpuShares: 2n, oomScoreAdj: 1000n });
  const all = {
    cpuRequest: 1000n,
    cpuLimit: 1000n,
    memoryRequest: 1n << 20n,
    memoryLimit: 1n << 20n,
  };
  assert.equal(cgroupResources(all, 1n << 30n).oomScoreAdj, -997n);
  assert.equal(cgroupResources({ ...all, cpuRequest: 1n }, 1n << 20n).oomScoreAdj, 3n);
  assert.equal(cgroupResources({ ...all, cpuLimit: 1n }, 1n << 30n).cpuQuota, 1_000n);
});
