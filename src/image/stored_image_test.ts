import assert from "node:assert/strict";
import { InternalError } from "../errors/mod.ts";
import { type ChainId, type DiffId, parseDigest, parseImageId } from "../model/mod.ts";
import { parseReference } from "./reference.ts";
import {
  decodeImage,
  encodeImage,
  repositoryOf,
  type StoredImage,
  toRecord,
  withName,
  withoutName,
} from "./stored_image.ts";

const ONE = parseDigest(`sha256:${"1".repeat(64)}`);
const TWO = parseDigest(`sha256:${"2".repeat(64)}`);
const IMAGE: StoredImage = {
  id: parseImageId("a".repeat(64)),
  names: [],
  digests: [],
  manifestDigest: ONE,
  config: {
    architecture: "amd64",
    os: "linux",
    user: "",
    env: ["A=1"],
    entrypoint: [],
    cmd: ["/x"],
    workingDir: "/",
    labels: { a: "b" },
    volumes: [],
    exposedPorts: [],
    stopSignal: "",
    diffIds: [ONE as unknown as DiffId],
    created: "",
  },
  layers: [{
    chainId: ONE as unknown as ChainId,
    diffId: ONE as unknown as DiffId,
    blobDigest: TWO,
    blobSize: 2n ** 60n,
  }],
  documentBytes: 5,
};
const seen = { layerBytes: 10n, pinned: false };

Deno.test("decodeImage() gives back what encodeImage() wrote, over JSON", () => {
  const named = withName(IMAGE, parseReference("a/b:c"), [ONE]);
  const over = JSON.parse(JSON.stringify(encodeImage(named)));
  assert.deepEqual(decodeImage(IMAGE.id, over), named);
});

Deno.test("decodeImage() refuses damaged records", () => {
  const good = encodeImage(IMAGE);
  for (
    const value of [
      {},
      { ...good, version: 2 },
      { ...good, id: "b".repeat(64) },
      { ...good, layers: [{}] },
      { ...good, layers: [{ ...IMAGE.layers[0], blobSize: "x" }] },
      { ...good, config: null },
      { ...good, manifestDigest: "x" },
    ]
  ) {
    assert.throws(() => decodeImage(IMAGE.id, value as typeof good), InternalError);
  }
});

Deno.test("toRecord() shows digests of named repositories, and all without a name", () => {
  const named = withName(
    withName(IMAGE, parseReference("b.io/x:v1"), [TWO, ONE]),
    parseReference("a.io:5000/x"),
    [ONE],
  );
  const both = toRecord(named, seen);
  assert.deepEqual(both.repoTags, ["a.io:5000/x:latest", "b.io/x:v1"]);
  assert.deepEqual(both.repoDigests, [
    `a.io:5000/x@${ONE}`,
    `b.io/x@${ONE}`,
    `b.io/x@${TWO}`,
  ]);
  assert.equal(both.sizeBytes, 15n);
  const one = withoutName(named, "b.io/x:v1");
  assert.deepEqual(toRecord(one, seen).repoDigests, [`a.io:5000/x@${ONE}`]);
  assert.equal(toRecord(withoutName(one, "a.io:5000/x:latest"), seen).repoDigests.length, 3);
});

Deno.test("repositoryOf() is not misled by ports", () => {
  assert.equal(repositoryOf("a.io:5000/x:v1"), "a.io:5000/x");
  assert.equal(repositoryOf(`a.io:5000/x@${ONE}`), "a.io:5000/x");
});
