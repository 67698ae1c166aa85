import assert from "node:assert/strict";
import { errorKind } from "../errors/mod.ts";
import {
  CreateContainerRequest,
  ExecSyncRequest,
  ImageServiceDefinition,
  ListContainersRequest,
  RunPodSandboxRequest,
  RuntimeServiceDefinition,
} from "../proto/mod.ts";
import { decodeRequest } from "./decode_request.ts";
import { DECODED_NUMBERS_LIMIT } from "./limits.ts";
import { validateCreateContainer } from "./validate_container.ts";
import { validateRunPodSandbox } from "./validate_sandbox.ts";

const REQUESTS = [RuntimeServiceDefinition, ImageServiceDefinition]
  .flatMap(({ methods }) => Object.values(methods).map(({ requestType }) => requestType));

/** A linear congruential generator: the same bytes in every run. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
}

function outcome(work: () => unknown): string {
  try {
    work();
    return "accepted";
  } catch (error) {
    return errorKind(error);
  }
}

Deno.test("decodeRequest() takes or refuses any bytes, and never fails otherwise", () => {
  const next = generator(7);
  for (let round = 0; round < 400; round++) {
    const bytes = Uint8Array.from({ length: next() }, next);
    for (const type of REQUESTS) {
      const kind = outcome(() => decodeRequest<unknown>(type, bytes));
      assert.ok(["accepted", "invalid_argument"].includes(kind), `${kind} for ${bytes.toHex()}`);
    }
  }
});

Deno.test("A request with any byte changed is accepted or refused by a rule", () => {
  const pod = RunPodSandboxRequest.encode(RunPodSandboxRequest.fromPartial({
    config: {
      metadata: { name: "web", namespace: "default", uid: "u-1", attempt: 2 },
      hostname: "web",
      portMappings: [{ containerPort: 80, hostPort: 8080, hostIp: "127.0.0.1" }],
      labels: { a: "b" },
      linux: { securityContext: { namespaceOptions: { pid: 1 }, supplementalGroups: [1n, 2n] } },
    },
  })).finish();
  const container = CreateContainerRequest.encode(CreateContainerRequest.fromPartial({
    podSandboxId: "0123",
    config: {
      metadata: { name: "web" },
      image: { image: "web:1" },
      envs: [{ key: "A", value: Uint8Array.of(66) }],
      mounts: [{ containerPath: "/a", hostPath: "/b" }],
      linux: { resources: { cpuShares: 2n, oomScoreAdj: -5n, memoryLimitInBytes: 1n << 40n } },
    },
  })).finish();
  const legal = ["accepted", "invalid_argument", "resource_exhausted"];
  const next = generator(11);
  const mutants = (bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown) => {
    assert.equal(outcome(() => decode(bytes)), "accepted");
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 0x7f, 0x80, 0xff, next(), next()]) {
        const changed = bytes.slice();
        changed[at] = value;
        const kind = outcome(() => decode(changed));
        assert.ok(legal.includes(kind), `${kind} with byte ${at} as ${value}`);
      }
    }
  };
  mutants(pod, (bytes) => validateRunPodSandbox(decodeRequest(RunPodSandboxRequest, bytes)));
  mutants(
    container,
    (bytes) => validateCreateContainer(decodeRequest(CreateContainerRequest, bytes)),
  );
});

Deno.test("Fields that this version does not know are passed over", () => {
  const known = ListContainersRequest.encode({ filter: undefined }).finish();
  const unknown = Uint8Array.from([...known, 0xfa, 0x3e, 2, 1, 2]); // field 1007, two bytes
  assert.deepEqual(decodeRequest(ListContainersRequest, unknown), { filter: undefined });
});

Deno.test("200,000 fields are decoded, one more is refused before it is made", () => {
  // Each empty argument is a tag and a length.
  const withArguments = (count: number) =>
    ExecSyncRequest.encode(ExecSyncRequest.fromPartial({ cmd: Array(count).fill("") })).finish();
  const most = DECODED_NUMBERS_LIMIT / 2;
  assert.equal(decodeRequest(ExecSyncRequest, withArguments(most)).cmd.length, most);
  assert.throws(() => decodeRequest(ExecSyncRequest, withArguments(most + 1)), {
    kind: "resource_exhausted",
    message: /more than 200000 fields/,
  });
});

Deno.test("Text that is no UTF-8 is refused", () => {
  // runtime_handler, field 2, of one byte
  assert.throws(() => decodeRequest(RunPodSandboxRequest, Uint8Array.of(0x12, 1, 0xff)), {
    kind: "invalid_argument",
  });
  const marked = Uint8Array.of(0x12, 3, 0xef, 0xbb, 0xbf);
  assert.equal(decodeRequest(RunPodSandboxRequest, marked).runtimeHandler, "\ufeff");
});
