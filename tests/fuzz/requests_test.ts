/**
 * CRI requests with changed bytes, through decoding and validation, as a hostile client of the socket would
 * send them.
 *
 * @module
 */
import { decodeRequest } from "../../src/cri/decode_request.ts";
import { validateCreateContainer } from "../../src/cri/validate_container.ts";
import { validateRunPodSandbox } from "../../src/cri/validate_sandbox.ts";
import { CreateContainerRequest, RunPodSandboxRequest } from "../../src/proto/mod.ts";
import { fuzz, mutateBytes } from "./mutation.ts";

const DURATION_MS = 3_000;

const SANDBOX = RunPodSandboxRequest.fromPartial({
  config: {
    metadata: { name: "pod", namespace: "default", uid: "uid", attempt: 1 },
    hostname: "pod",
    logDirectory: "/var/log/pods/pod",
    dnsConfig: { servers: ["10.0.0.10"], searches: ["svc.local"], options: ["ndots:5"] },
    portMappings: [{ protocol: 0, containerPort: 80, hostPort: 8080 }],
    labels: { app: "web" },
    annotations: { "io.kubernetes.x": "y" },
    linux: {
      cgroupParent: "/kubepods/pod",
      sysctls: { "net.core.somaxconn": "1024" },
      securityContext: { namespaceOptions: { pid: 1 }, supplementalGroups: [1n, 2n] },
    },
  },
});

const CONTAINER = CreateContainerRequest.fromPartial({
  podSandboxId: "0".repeat(64),
  config: {
    metadata: { name: "main", attempt: 0 },
    image: { image: "docker.io/library/busybox:1" },
    command: ["/bin/sh", "-c"],
    args: ["sleep 1"],
    workingDir: "/work",
    envs: [{ key: "A", value: new TextEncoder().encode("b") }],
    mounts: [{ containerPath: "/data", hostPath: "/tmp/data", propagation: 1 }],
    devices: [{ containerPath: "/dev/null", hostPath: "/dev/null", permissions: "rwm" }],
    logPath: "main/0.log",
    linux: {
      resources: { cpuShares: 100n, memoryLimitInBytes: 1n << 30n, cpusetCpus: "0-1" },
      securityContext: {
        capabilities: { addCapabilities: ["NET_ADMIN"] },
        runAsUser: { value: 1000n },
        maskedPaths: ["/proc/kcore"],
      },
    },
  },
  sandboxConfig: SANDBOX.config!,
});

Deno.test("mutated RunPodSandbox requests are valid or refused", () =>
  fuzz<Uint8Array>({
    seed: 8,
    durationMs: DURATION_MS,
    seeds: [RunPodSandboxRequest.encode(SANDBOX).finish()],
    mutate: mutateBytes,
    act: (bytes) => validateRunPodSandbox(decodeRequest(RunPodSandboxRequest, bytes)),
  }));

Deno.test("mutated CreateContainer requests are valid or refused", () =>
  fuzz<Uint8Array>({
    seed: 9,
    durationMs: DURATION_MS,
    seeds: [CreateContainerRequest.encode(CONTAINER).finish()],
    mutate: mutateBytes,
    act: (bytes) => validateCreateContainer(decodeRequest(CreateContainerRequest, bytes)),
  }));
