import assert from "node:assert/strict";
import { NotFoundError } from "../errors/mod.ts";
import { ContainerStatusResponse, PodSandboxStatusResponse } from "../proto/mod.ts";
import type { HttpAnswer } from "./http.ts";
import { inspectionRoutes } from "./inspection.ts";

const ID = "a".repeat(64);

const routes = inspectionRoutes({
  containers: {
    status: (id) => {
      if (id !== ID) throw new NotFoundError("no such container");
      return ContainerStatusResponse.fromPartial({
        status: {
          id,
          metadata: { name: "main", attempt: 2 },
          state: 1,
          createdAt: 1795474743347787841n,
          image: { image: "sha256:1", userSpecifiedImage: 'bb:1","created_time":"5' },
          imageRef: "sha256:1",
          labels: { created_time: "7" },
          logPath: "/log",
        },
        info: {
          info: JSON.stringify({
            sandboxID: "b",
            pid: 42,
            runtimeSpec: { annotations: { x: "y" }, root: { path: "/rootfs" } },
          }),
        },
      });
    },
  },
  sandboxes: {
    status: () =>
      PodSandboxStatusResponse.fromPartial({
        status: {
          metadata: { name: "web", namespace: "shop", uid: "u" },
          network: { ip: "10.0.0.2", additionalIps: [{ ip: "fd00::2" }] },
          linux: { namespaces: { options: { network: 0 } } },
        },
      }),
  },
  configuration: () => "[sauropod]\n",
  node: { storageDriver: "overlay", storageRoot: "/r", imageStore: "", cgroupDriver: "cgroupfs" },
});

function body(path: string, rest = ""): string {
  const request = {
    query: new URLSearchParams(),
    body: new ReadableStream<Uint8Array>(),
    signal: new AbortController().signal,
  };
  return String((routes[path]!(rest, request) as HttpAnswer).body);
}

Deno.test("/containers/ID has CRI-O's fields, and its time to the nanosecond", () => {
  const text = body("/containers/", ID);
  assert.match(text, /"created_time":1795474743347787841,/);
  const { created_time: _, ...rest } = JSON.parse(text);
  assert.deepEqual(rest, {
    name: "k8s_main_web_shop_u_2",
    pid: 42,
    image: 'bb:1","created_time":"5',
    image_ref: "sha256:1",
    labels: { created_time: "7" },
    annotations: {},
    crio_annotations: { x: "y" },
    log_path: "/log",
    root: "/rootfs",
    sandbox: "b",
    ip_addresses: ["10.0.0.2", "fd00::2"],
    host_network: false,
  });
});

Deno.test("/containers/ID takes full ids only", () => {
  for (const id of ["aaaa", "b".repeat(64), "../etc", ""]) {
    assert.throws(() => body("/containers/", id), NotFoundError);
  }
});

Deno.test("/info and /config tell of the server", () => {
  assert.deepEqual(JSON.parse(body("/info")), {
    storage_driver: "overlay",
    storage_image: "",
    storage_root: "/r",
    cgroup_driver: "cgroupfs",
    default_id_mappings: {
      uids: [{ container_id: 0, host_id: 0, size: 4294967295 }],
      gids: [{ container_id: 0, host_id: 0, size: 4294967295 }],
    },
  });
  assert.equal(body("/config"), "[sauropod]\n");
});
