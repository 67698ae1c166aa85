import assert from "node:assert/strict";
import { startRegistry } from "./registry.ts";
import { buildIndex, busyboxImage, MEDIA_TYPES } from "./test_images.ts";

Deno.test("the registry of the tests takes images in every form and gives them back", async () => {
  await using registry = await startRegistry();
  const docker = busyboxImage({ format: "docker" });
  const index = buildIndex([
    busyboxImage({ compression: "zstd" }),
    busyboxImage({ architecture: "s390x" }),
  ]);
  await registry.push("a/docker", "one", docker);
  await registry.push("a/index", "one", index);
  await registry.push("a/list", "one", buildIndex([docker], "docker"));
  for (
    const [repository, type] of [
      ["a/docker", MEDIA_TYPES.dockerManifest],
      ["a/index", MEDIA_TYPES.ociIndex],
      ["a/list", MEDIA_TYPES.dockerList],
    ] as const
  ) {
    const answer = await fetch(`http://${registry.address}/v2/${repository}/manifests/one`, {
      headers: { accept: type },
    });
    await answer.body?.cancel();
    assert.equal(answer.headers.get("content-type"), type);
  }
  await Deno.stat(registry.blobPath(docker.config.digest));
});

Deno.test("the registry of the tests asks for credentials when told to", async () => {
  const credentials = { username: "user", password: "pass" };
  await using registry = await startRegistry({ credentials });
  await registry.push("private", "one", busyboxImage());
  const answer = await fetch(`http://${registry.address}/v2/private/manifests/one`);
  await answer.body?.cancel();
  assert.equal(answer.status, 401);
});
