import assert from "node:assert/strict";
import { parseImageId } from "../model/mod.ts";
import { ImageSpec } from "../proto/mod.ts";
import { imageName } from "./image_name.ts";

const ID = "ab".repeat(32);
const IMAGE = {
  id: parseImageId(ID),
  repoTags: ["docker.io/library/busybox:1.36", "docker.io/library/busybox:latest"],
  repoDigests: [`docker.io/library/busybox@sha256:${"cd".repeat(32)}`],
};

function nameOf(spec: Partial<ImageSpec>, image: Partial<typeof IMAGE> = {}): string {
  return imageName({ ...IMAGE, ...image }, ImageSpec.fromPartial(spec));
}

Deno.test("imageName() of an image asked for by name is that name", () => {
  assert.equal(nameOf({ image: "busybox" }), "busybox");
});

Deno.test("imageName() of an image asked for by id is the name in the pod's manifest, in full", () => {
  const named = (userSpecifiedImage: string) => nameOf({ image: ID, userSpecifiedImage });
  assert.equal(named("docker.io/library/busybox:latest"), "docker.io/library/busybox:latest");
  assert.equal(named("busybox"), "docker.io/library/busybox:latest");
  assert.equal(named("library/busybox:1.36"), "docker.io/library/busybox:1.36");
  assert.equal(named("box"), "docker.io/library/busybox:1.36");
  const byDigest = `busybox@sha256:${"cd".repeat(32)}`;
  assert.equal(named(byDigest), `docker.io/library/${byDigest}`);
});

Deno.test("imageName() of an image asked for by a short or prefixed id is any name that it has", () => {
  assert.equal(nameOf({ image: ID.slice(0, 12) }), "docker.io/library/busybox:1.36");
  assert.equal(nameOf({ image: `sha256:${ID}` }), "docker.io/library/busybox:1.36");
});

Deno.test("imageName() of an image without a name is the id that was asked for", () => {
  assert.equal(nameOf({ image: ID }, { repoTags: [], repoDigests: [] }), ID);
});
