import assert from "node:assert/strict";
import { NotFoundError } from "../errors/mod.ts";
import { EndpointFailures } from "../image/endpoint_failures.ts";
import type { ImageRecord } from "../image/images.ts";
import { PolicyRejectedError } from "../image/mod.ts";
import { ConnectionRefusedError } from "../image/retry.ts";
import { type AuthConfig, Container, ListContainersResponse } from "../proto/mod.ts";
import { EncodedList } from "./encoded_list.ts";
import { imageInfo, imageMessage } from "./image_message.ts";
import { grpcStatus } from "./grpc_status.ts";
import { pullCredentials } from "./pull_credentials.ts";
import { kubeletPullError } from "./pull_failure.ts";
import { statusResponse } from "./node_status.ts";
import { TEST_NODE } from "./_test_server.ts";

Deno.test("EncodedList joins to what encoding the whole gives, for entries of every length", () => {
  const containers = [0, 1, 60, 127, 128, 300, 20_000, 3_000_000].map((length) =>
    Container.fromPartial({ id: "x".repeat(length), createdAt: BigInt(length) })
  );
  const joined = new EncodedList(1, containers.map((c) => Container.encode(c).finish()));
  const whole = ListContainersResponse.encode({ containers }).finish();
  assert.ok(joined.toBuffer().equals(whole));
  assert.equal(new EncodedList(1, []).toBuffer().length, 0);
});

Deno.test("EncodedList.chunks() gives all entries in order, and one empty message for none", () => {
  const items = [1, 2, 3, 4, 5].map((n) => Uint8Array.of(n));
  const list = new EncodedList(1, items);
  assert.deepEqual(
    [...list.chunks({ entries: 2, bytes: 1 << 20 })].map((chunk) => chunk.items.length),
    [2, 2, 1],
  );
  assert.deepEqual(
    [...list.chunks({ entries: 2, bytes: 1 << 20 })].flatMap((chunk) => chunk.items),
    items,
  );
  assert.deepEqual(
    [...new EncodedList(1, []).chunks({ entries: 2, bytes: 1 << 20 })].map(({ items }) => items),
    [[]],
  );
});

Deno.test("EncodedList.chunks() keeps to the bytes of a message, at the limit and one past it", () => {
  const items = [3, 3, 4, 11, 1].map((length) => new Uint8Array(length));
  const lengths = (bytes: number) =>
    [...new EncodedList(1, items).chunks({ entries: 9, bytes })]
      .map((chunk) => chunk.items.map(({ length }) => length));
  assert.deepEqual(lengths(10), [[3, 3, 4], [11], [1]], "an entry over the limit stands alone");
  assert.deepEqual(lengths(9), [[3, 3], [4], [11], [1]]);
});

const RECORD = {
  id: "a".repeat(64),
  repoTags: ["docker.io/library/web:1"],
  repoDigests: [`docker.io/library/web@sha256:${"b".repeat(64)}`],
  config: {
    architecture: "amd64",
    os: "linux",
    user: "",
    env: ["A=b"],
    entrypoint: [],
    cmd: ["sh"],
    workingDir: "",
    labels: { l: "v" },
    volumes: ["/data"],
    exposedPorts: ["80/tcp"],
    stopSignal: "",
    diffIds: [],
    created: "",
  },
  sizeBytes: 123n,
  pinned: true,
} as unknown as ImageRecord;

function user(text: string): [bigint | undefined, string] {
  const { uid, username } = imageMessage({ ...RECORD, config: { ...RECORD.config, user: text } });
  return [uid?.value, username];
}

Deno.test("An image's user is a uid if it is a number, else a name", () => {
  assert.deepEqual(user(""), [undefined, ""]);
  assert.deepEqual(user("0"), [0n, ""]);
  assert.deepEqual(user("1000:2000"), [1000n, ""]);
  assert.deepEqual(user("www:www"), [undefined, "www"]);
  assert.deepEqual(user("4294967295"), [undefined, "4294967295"]);
  assert.deepEqual(user("99999999999999999999"), [undefined, "99999999999999999999"]);
});

Deno.test("An image's message and verbose information have what the record has", () => {
  const message = imageMessage(RECORD);
  assert.deepEqual([message.id, message.size, message.pinned], [RECORD.id, 123n, true]);
  assert.deepEqual(message.repoTags, RECORD.repoTags);
  const info = JSON.parse(imageInfo(RECORD)["info"] ?? "");
  assert.deepEqual(info.labels, { l: "v" });
  assert.deepEqual(info.imageSpec.config.Volumes, { "/data": {} });
});

function auth(parts: Partial<AuthConfig>) {
  return pullCredentials({
    username: "",
    password: "",
    auth: "",
    serverAddress: "",
    identityToken: "",
    registryToken: "",
    ...parts,
  });
}

Deno.test("Credentials come from user and password, or from base64 of both", () => {
  assert.deepEqual(pullCredentials(undefined), {});
  assert.deepEqual(auth({}), {});
  const credentials = { username: "u", password: "p:w" };
  assert.deepEqual(auth(credentials), { credentials });
  assert.deepEqual(auth({ auth: btoa("u:p:w") }), { credentials });
  assert.deepEqual(auth({ auth: btoa("u:p:w\0\0") }), { credentials });
});

Deno.test("Credentials may be tokens, and are for the server that they name", () => {
  assert.deepEqual(auth({ identityToken: "i" }), { credentials: { identityToken: "i" } });
  assert.deepEqual(auth({ registryToken: "r" }), { credentials: { registryToken: "r" } });
  const credentials = { username: "u", password: "p" };
  // A password goes before a token that says the same.
  assert.deepEqual(auth({ ...credentials, identityToken: "i", serverAddress: "quay.io" }), {
    credentials,
    credentialsServer: "quay.io",
  });
  assert.deepEqual(auth({ serverAddress: "quay.io" }), {});
});

Deno.test("Failures of pulls that the kubelet knows begin with the names that it looks for", () => {
  const begins = (error: unknown) => grpcStatus(kubeletPullError(error)).details.split(":", 1)[0];
  assert.equal(begins(new ConnectionRefusedError("Cannot reach it")), "RegistryUnavailable");
  assert.equal(begins(new PolicyRejectedError("Rejected")), "SignatureValidationFailed");
  assert.equal(begins(new NotFoundError("There is none")), "There is none");
  const failures = new EndpointFailures();
  failures.add({ role: "mirror", name: "m.example/a" }, new NotFoundError("not here"));
  failures.add({ role: "registry", name: "r.example/a" }, new ConnectionRefusedError("refused"));
  assert.match(
    grpcStatus(kubeletPullError(failures.error("the image r.example/a:v1"))).details,
    /^RegistryUnavailable: .*mirror m\.example\/a: not here; registry r\.example\/a: refused/,
  );
});

Deno.test("Credentials that cannot be used are refused without being shown", () => {
  for (const bad of ["%%%", btoa("nocolon-secret"), btoa(":secret"), btoa("\xff\xfe:secret")]) {
    assert.throws(() => auth({ auth: bad }), (error: Error) => {
      assert.match(error.message, /is not base64 of a user name/);
      assert.doesNotMatch(JSON.stringify(error), /secret/);
      return true;
    });
  }
});

Deno.test("Status names why something is not ready", async () => {
  const { status, info } = await statusResponse({
    ...TEST_NODE,
    runtimeObstacle: () => ({ reason: "RecoveryUnderWay", message: "Looking for pods" }),
  }, false);
  assert.deepEqual(status?.conditions, [
    {
      type: "RuntimeReady",
      status: false,
      reason: "RecoveryUnderWay",
      message: "Looking for pods",
    },
    {
      type: "NetworkReady",
      status: false,
      reason: "NetworkPluginNotReady",
      message: "No network in /etc/cni/net.d",
    },
  ]);
  assert.deepEqual(info, {});
});
