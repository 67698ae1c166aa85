import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { choosePlatform, type ImageIndex, parseManifest, type Platform } from "./manifest.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "./media_types.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";
const config = { mediaType: OCI_CONFIG, digest: DIGEST, size: 10 };
const layer = (mediaType: string) => ({ mediaType, digest: DIGEST, size: 10 });
const image = { schemaVersion: 2, config, layers: [layer(`${LAYER}+gzip`)] };
const index = { schemaVersion: 2, manifests: [] };
const parse = (value: unknown, type = "") =>
  parseManifest(new TextEncoder().encode(JSON.stringify(value)), type);

Deno.test("parseManifest() goes by the document's type, then the stated one, then the members", () => {
  assert.equal(parse(image).kind, "image");
  assert.equal(parse(image, OCI_MANIFEST).kind, "image");
  assert.equal(parse(image, "text/plain").kind, "image");
  assert.equal(parse({ ...image, mediaType: DOCKER_MANIFEST }, OCI_MANIFEST).kind, "image");
  assert.equal(parse(index).kind, "index");
  assert.equal(parse({ ...index, mediaType: DOCKER_LIST }, OCI_INDEX).kind, "index");
});

Deno.test("parseManifest() refuses documents that could be two things", () => {
  assert.throws(() => parse({ ...image, ...index }), InvalidArgumentError);
  assert.throws(() => parse({ ...image, mediaType: OCI_INDEX }), InvalidArgumentError);
  assert.throws(() => parse(index, OCI_MANIFEST), InvalidArgumentError);
  assert.throws(() => parse({ ...index, mediaType: OCI_MANIFEST }), InvalidArgumentError);
});

Deno.test("parseManifest() tells compression by media type", () => {
  const parsed = parse({
    ...image,
    layers: [LAYER, `${LAYER}+gzip`, `${LAYER}+zstd`].map(layer),
  });
  assert(parsed.kind === "image");
  assert.deepEqual(parsed.layers.map(({ compression }) => compression), ["none", "gzip", "zstd"]);
});

Deno.test("parseManifest() refuses what is not an image that can be had", () => {
  for (
    const value of [
      { schemaVersion: 1, name: "old" },
      { ...image, artifactType: "application/vnd.example" },
      { ...image, config: { ...config, mediaType: "application/vnd.oci.empty.v1+json" } },
      { ...image, layers: [layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")] },
      { ...image, layers: [layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")] },
      { ...image, layers: [layer("application/octet-stream")] },
      { ...image, layers: [layer(`${LAYER}+encrypted`)] },
      { ...image, mediaType: "application/vnd.example" },
    ]
  ) {
    assert.throws(() => parse(value), FailedPreconditionError, JSON.stringify(value));
  }
});

Deno.test("parseManifest() refuses malformed documents", () => {
  const endless = Array.from({ length: 600 }, () => layer(LAYER));
  for (
    const value of [
      { ...image, config: null },
      { ...image, config: { ...config, digest: "sha256:12" } },
      { ...image, config: { ...config, digest: "../../etc" } },
      { ...image, config: { ...config, size: -1 } },
      { ...image, config: { ...config, size: 1.5 } },
      { ...image, config: { ...config, size: "1" } },
      { ...image, layers: {} },
      { ...image, layers: [null] },
      { ...image, layers: endless },
      { ...index, manifests: "x" },
      { ...index, manifests: Array.from({ length: 5000 }, () => ({})) },
      { ...image, mediaType: 7 },
    ]
  ) {
    assert.throws(() => parse(value), InvalidArgumentError, JSON.stringify(value).slice(0, 200));
  }
  for (const text of ["", "[]", "null", "{", '"x"', "\xff"]) {
    assert.throws(() => parseManifest(new TextEncoder().encode(text), ""), InvalidArgumentError);
  }
});

Deno.test("choosePlatform() takes the best entry for the machine and skips attestations", () => {
  const entry = (architecture: string, variant = "", annotations = {}) => ({
    mediaType: OCI_MANIFEST,
    digest: `sha256:${architecture}${variant}`,
    size: 1,
    platform: { os: "linux", architecture, variant },
    annotations,
  });
  const choose = (entries: ReturnType<typeof entry>[], machine: Platform) => {
    const full = entries.map((one, number) => ({
      ...one,
      digest: `sha256:${String(number).padStart(64, "0")}`,
    }));
    const parsed = parse({ ...index, manifests: full });
    const { platform } = choosePlatform(parsed as ImageIndex, machine);
    return `${platform?.architecture}/${platform?.variant}`;
  };
  const amd64 = { os: "linux", architecture: "amd64", variant: "" };
  const arm = { os: "linux", architecture: "arm", variant: "v7" };
  const arm64 = { os: "linux", architecture: "arm64", variant: "v8" };
  assert.equal(choose([entry("arm64"), entry("amd64", "v3"), entry("amd64")], amd64), "amd64/");
  assert.equal(choose([entry("arm", "v6"), entry("arm", "v7"), entry("arm", "v8")], arm), "arm/v7");
  assert.equal(choose([entry("arm", "v5")], arm), "arm/v5");
  assert.equal(choose([entry("arm64"), entry("arm64", "v8")], arm64), "arm64/v8");
  const attestation = entry("amd64", "", { "vnd.docker.reference.type": "attestation-manifest" });
  assert.equal(choose([attestation, entry("amd64")], amd64), "amd64/");
  assert.throws(() => choose([attestation], amd64), FailedPreconditionError);
  assert.throws(() => choose([entry("s390x"), entry("unknown")], amd64), /linux\/s390x/);
  assert.throws(() => choose([], amd64), /no image/);
});

Deno.test("choosePlatform() takes the only image of an index without platforms", () => {
  const parsed = parse({
    ...index,
    manifests: [{ mediaType: OCI_MANIFEST, digest: DIGEST, size: 1 }],
  });
  const machine = { os: "linux", architecture: "amd64", variant: "" };
  assert.equal(choosePlatform(parsed as ImageIndex, machine).digest, DIGEST);
});
