import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  CancelledError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  UnauthenticatedError,
  UnavailableError,
} from "../../src/errors/mod.ts";
import { parsePolicy } from "../../src/image/policy.ts";
import { ImageBench, insecure } from "./image_bench.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";
import { buildImage, buildIndex, busyboxImage, type TestImageSpec } from "./test_images.ts";

const HELLO: TestImageSpec = {
  layers: [
    [{ path: "etc/" }, { path: "etc/hello", content: "hello\n" }],
    [{ path: "etc/" }, { path: "etc/second", content: "second\n" }],
    [{ path: "etc/" }, { path: "etc/hello", content: "hello again\n" }],
  ],
  config: { User: "1000", Env: ["A=1"], Cmd: ["/x"], Labels: { a: "b" } },
};

async function withRegistry(
  act: (registry: TestRegistry, bench: ImageBench) => Promise<void>,
): Promise<void> {
  await using registry = await startRegistry();
  await using bench = await ImageBench.open({ registriesConf: insecure(registry.address) });
  await act(registry, bench);
}

Deno.test("Images.pull() brings an image by tag and by digest, and removes it without a trace", () =>
  withRegistry(async (registry, bench) => {
    const image = busyboxImage();
    const digest = await registry.push("team/busybox", "v1", image);
    const name = `${registry.address}/team/busybox`;
    const record = await bench.pull(`${name}:v1`);
    assert.equal(record.id, image.id);
    assert.deepEqual(record.repoTags, [`${name}:v1`]);
    assert.deepEqual(record.repoDigests, [`${name}@${digest}`]);
    assert.equal(record.manifestDigest, digest);
    assert.deepEqual(record.config.cmd, ["/bin/sh"]);
    assert(record.sizeBytes > 1_000_000n);
    assert.match(await bench.read(record.top!, "etc/passwd"), /^root:/);

    const again = await bench.pull(`${name}:ignored@${digest}`);
    assert.equal(again.id, image.id);
    for (
      const text of [
        record.id,
        `sha256:${record.id}`,
        record.id.slice(0, 12),
        `${name}:v1`,
        `${name}@${digest}`,
      ]
    ) {
      assert.equal(bench.images.find(text)?.id, image.id, text);
    }
    assert.equal(bench.images.find(`${name}:v2`), undefined);

    await bench.images.remove(record.id);
    assert.deepEqual(bench.images.all(), []);
    assert.deepEqual(await bench.leftovers(), []);
    await bench.images.remove(record.id);
  }));

Deno.test("Images.pull() understands every form of image", () =>
  withRegistry(async (registry, bench) => {
    for (const format of ["oci", "docker"] as const) {
      for (const compression of ["gzip", "zstd", "none"] as const) {
        const image = buildImage({ ...HELLO, format, compression });
        const other = buildImage({ ...HELLO, format, compression, architecture: "s390x" });
        const repository = `${format}/${compression}`;
        await registry.push(repository, "image", image);
        await registry.push(repository, "index", buildIndex([other, image], format));
        for (const tag of ["image", "index"]) {
          const record = await bench.pull(`${registry.address}/${repository}:${tag}`);
          assert.equal(record.id, image.id, `${repository}:${tag}`);
          assert.equal(record.layers.length, 3);
          assert.equal(await bench.read(record.top!, "etc/hello"), "hello again\n");
          assert.equal(await bench.read(record.top!, "etc/second"), "second\n");
        }
      }
    }
    // OCI and Docker configurations are the same document: one image by two kinds of manifest.
    assert.equal(bench.images.all().length, 1);
    for (const { id } of bench.images.all()) await bench.images.remove(id);
    assert.deepEqual(await bench.leftovers(), []);
  }));

Deno.test("Images.pull() refuses an index without an image for this machine", () =>
  withRegistry(async (registry, bench) => {
    const other = buildImage({ ...HELLO, architecture: "s390x" });
    await registry.push("other", "index", buildIndex([other]));
    await registry.push("other", "image", other);
    await assert.rejects(
      () => bench.pull(`${registry.address}/other:index`),
      (error: unknown) =>
        error instanceof FailedPreconditionError && error.message.includes("linux/s390x"),
    );
    await assert.rejects(
      () => bench.pull(`${registry.address}/other:image`),
      FailedPreconditionError,
    );
    assert.deepEqual(await bench.leftovers(), []);
  }));

Deno.test("Images.pull() authenticates with the request, else with the file", async () => {
  const credentials = { username: "user", password: "p:ss wörd" };
  await using registry = await startRegistry({ credentials });
  const image = buildImage(HELLO);
  await registry.push("private", "v1", image);
  const name = `${registry.address}/private:v1`;
  const authFile = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(authFile, "{}");
    await using bench = await ImageBench.open({
      registriesConf: insecure(registry.address),
      authFile,
    });
    await assert.rejects(() => bench.pull(name), UnauthenticatedError);
    const wrong = { username: "user", password: "wrong" };
    await assert.rejects(() => bench.pull(name, { credentials: wrong }), UnauthenticatedError);
    assert.equal((await bench.pull(name, { credentials })).id, image.id);

    const auth = new TextEncoder().encode("user:p:ss wörd").toBase64();
    await Deno.writeTextFile(
      authFile,
      JSON.stringify({ auths: { [registry.address]: { auth } } }),
    );
    assert.equal((await bench.pull(name)).id, image.id);
    await assert.rejects(() => bench.pull(name, { credentials: wrong }), UnauthenticatedError);
  } finally {
    await Deno.remove(authFile);
  }
});

Deno.test("Images.pull() moves a tag, and the old image keeps its digest", () =>
  withRegistry(async (registry, bench) => {
    const name = `${registry.address}/moving:latest`;
    const first = buildImage(HELLO);
    const second = buildImage({ ...HELLO, config: { Cmd: ["/new"] } });
    const digest = await registry.push("moving", "latest", first);
    await bench.pull(name);
    await registry.push("moving", "latest", second);
    await bench.pull(name);
    assert.equal(bench.images.find(name)?.id, second.id);
    const old = bench.images.find(first.id)!;
    assert.deepEqual(old.repoTags, []);
    assert.deepEqual(old.repoDigests, [`${registry.address}/moving@${digest}`]);

    await bench.images.remove(second.id);
    assert.equal(await bench.read(old.top!, "etc/second"), "second\n");
    await bench.images.remove(old.id);
    assert.deepEqual(await bench.leftovers(), []);
  }));

Deno.test("Images.remove() by name takes the name, and the image with its last one", () =>
  withRegistry(async (registry, bench) => {
    const image = buildImage(HELLO);
    const at = (tag: string) => `${registry.address}/named:${tag}`;
    for (const tag of ["one", "two"]) {
      await registry.push("named", tag, image);
      await bench.pull(at(tag));
    }
    assert.deepEqual(bench.images.find(image.id)?.repoTags, [at("one"), at("two")]);
    await bench.images.remove(at("one"));
    assert.deepEqual(bench.images.find(image.id)?.repoTags, [at("two")]);
    await bench.images.remove(at("one"));
    await bench.images.remove(at("two"));
    assert.deepEqual(bench.images.all(), []);
    assert.deepEqual(await bench.leftovers(), []);
  }));

Deno.test("Images.remove() refuses an image that is used or held, and keeps shared layers", async () => {
  await using registry = await startRegistry();
  let users: string[] = [];
  await using bench = await ImageBench.open({
    registriesConf: insecure(registry.address),
    users: { containersUsing: () => users, layersInUse: () => Promise.resolve([]) },
  });
  const image = buildImage(HELLO);
  const sibling = buildImage({ ...HELLO, layers: HELLO.layers.slice(0, 2) });
  await registry.push("a", "v1", image);
  await registry.push("b", "v1", sibling);
  const record = await bench.pull(`${registry.address}/a:v1`);
  const other = await bench.pull(`${registry.address}/b:v1`);

  users = ["c0ffee", "c0ffef"];
  await assert.rejects(
    () => bench.images.remove(record.id),
    (error: unknown) => error instanceof FailedPreconditionError && /c0ffee/.test(error.message),
  );
  users = [];
  {
    using _held = bench.images.hold(record.id);
    await assert.rejects(() => bench.images.remove(record.id), FailedPreconditionError);
  }
  await bench.images.remove(record.id);
  assert.equal(bench.layers.all().length, 2);
  assert.equal(await bench.read(other.top!, "etc/hello"), "hello\n");
  await bench.images.remove(other.id);
  assert.deepEqual(await bench.leftovers(), []);
  assert.throws(() => bench.images.hold(other.id), NotFoundError);
});

Deno.test("layers below a container stay although the record of its image is lost", async () => {
  await using registry = await startRegistry();
  const bench = await ImageBench.open({ registriesConf: insecure(registry.address) });
  await registry.push("app", "v1", buildImage(HELLO));
  const image = await bench.pull(`${registry.address}/app:v1`);
  await bench.state.rebuilt();
  await bench.state.images.put(image.id, { nonsense: true });
  await bench.close();
  const top = image.top!;
  await using again = await ImageBench.open({
    directory: bench.directory,
    users: { containersUsing: () => [], layersInUse: () => Promise.resolve([top]) },
  });
  assert.deepEqual(again.images.all(), []);
  assert.equal(await again.read(top, "etc/hello"), "hello again\n");
});

Deno.test("Images.pull() reports progress and survives the client that leaves", () =>
  withRegistry(async (registry, bench) => {
    await registry.push("app", "v1", busyboxImage());
    const name = `${registry.address}/app:v1`;
    const leaving = new AbortController();
    const seen: string[] = [];
    const first = bench.pull(name, {
      signal: leaving.signal,
      onProgress: ({ layers }) => seen.push(layers.map(({ state }) => state).join()),
    });
    const second = bench.pull(name);
    leaving.abort();
    await assert.rejects(first, CancelledError);
    const record = await second;
    await bench.pull(name, {
      onProgress: ({ layers }) => seen.push(layers.map(({ state }) => state).join()),
    });
    assert.equal(seen.at(-1), "present");
    assert.equal(bench.images.find(name)?.id, record.id);
    await assert.rejects(bench.pull(name, { signal: AbortSignal.abort() }), CancelledError);
  }));

Deno.test("Images.pull() follows search list, alias, location, mirrors and blocks of registries.conf", async () => {
  await using registry = await startRegistry();
  const image = buildImage(HELLO);
  await registry.push("deep/team/app", "v1", image);
  await using bench = await ImageBench.open({
    registriesConf: `
      unqualified-search-registries = ["moved.example/team"]
      [aliases]
      nick = "mirrored.example/team/app"
      [[registry]]
      prefix = "moved.example"
      location = "${registry.address}/deep"
      insecure = true
      [[registry]]
      location = "mirrored.example"
      [[registry.mirror]]
      location = "127.0.0.1:9/nobody"
      insecure = true
      [[registry.mirror]]
      location = "${registry.address}/deep"
      insecure = true
      [[registry]]
      prefix = "blocked.example"
      blocked = true`,
  });
  const moved = await bench.pull("app:v1");
  assert.deepEqual(moved.repoTags, ["moved.example/team/app:v1"]);
  assert.equal(bench.images.find("app:v1")?.id, image.id);
  const alias = await bench.pull("nick:v1");
  assert.deepEqual(alias.repoTags, [
    "mirrored.example/team/app:v1",
    "moved.example/team/app:v1",
  ]);
  await assert.rejects(
    () => bench.pull("blocked.example/x"),
    (error: unknown) =>
      error instanceof FailedPreconditionError && error.message.includes("blocked.example") &&
      error.message.includes(`${bench.directory}/registries.conf`),
  );
});

Deno.test("Images.pull() names a registry that nobody listens at, and an image that is not there", () =>
  withRegistry(async (registry, bench) => {
    const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const { port } = listener.addr;
    listener.close();
    await assert.rejects(
      () => bench.pull(`127.0.0.1:${port}/x`),
      (error: unknown) =>
        error instanceof UnavailableError && error.message.includes(`127.0.0.1:${port}`) &&
        /refused/i.test(error.message),
    );
    await assert.rejects(
      () => bench.pull(`${registry.address}/nothing:v1`),
      (error: unknown) => error instanceof NotFoundError && error.details.stage !== undefined,
    );
  }));

Deno.test("Images.pull() asks the policy, the one of the namespace first", async () => {
  await using registry = await startRegistry();
  const image = buildImage(HELLO);
  await registry.push("good/app", "v1", image);
  const policyDirectory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${policyDirectory}/free.json`,
      '{"default":[{"type":"insecureAcceptAnything"}]}',
    );
    await using bench = await ImageBench.open({
      registriesConf: insecure(registry.address),
      policyDirectory,
      policy: parsePolicy('{"default":[{"type":"reject"}]}', "/etc/p.json"),
    });
    const name = `${registry.address}/good/app:v1`;
    await assert.rejects(
      () => bench.pull(name, { namespace: "kube-system" }),
      (error: unknown) =>
        error instanceof PermissionDeniedError && error.message.includes("/etc/p.json"),
    );
    assert.equal((await bench.pull(name, { namespace: "free" })).id, image.id);
    await assert.rejects(
      () => bench.pull(name, { namespace: "../free" }),
      InvalidArgumentError,
    );
  } finally {
    await Deno.remove(policyDirectory, { recursive: true });
  }
});

Deno.test("pinned images are shown as such, as the patterns are now, and removed when told", async () => {
  await using registry = await startRegistry();
  const image = buildImage(HELLO);
  await registry.push("team/pause", "3.9", image);
  let patterns: readonly string[] = [];
  await using bench = await ImageBench.open({
    registriesConf: insecure(registry.address),
    pinned: () => patterns,
  });
  const name = `${registry.address}/team/pause:3.9`;
  await bench.pull(name);
  const pinned = () => [bench.images.find(name)!.pinned, bench.images.all()[0]!.pinned];
  assert.deepEqual(pinned(), [false, false]);
  for (
    const pattern of [name, name.toUpperCase(), `${registry.address}/TEAM/*`, "*/team/pau*"]
  ) {
    patterns = ["other", pattern];
    assert.deepEqual(pinned(), [true, true], pattern);
  }
  for (const pattern of ["pause", "pause:3.9", "*pause:3.9", ""]) {
    patterns = [pattern];
    assert.deepEqual(pinned(), [false, false], pattern);
  }
  // Pinned keeps the kubelet's garbage collection away; whoever removes it by name means it.
  patterns = [name];
  await bench.images.remove(name);
  assert.deepEqual(bench.images.all(), []);
  assert.deepEqual(await bench.leftovers(), []);
});

Deno.test("Images.pull() unpacks zstd:chunked layers and refuses layers that are elsewhere by name", () =>
  withRegistry(async (registry, bench) => {
    const image = buildImage({ ...HELLO, compression: "zstd" });
    const manifest = JSON.parse(new TextDecoder().decode(image.manifest.bytes));
    // What its writers add: a table of contents in a frame that decoders skip, and where it lies.
    const table = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5]);
    const push = async (
      tag: string,
      change: (layer: Record<string, unknown>) => Uint8Array | void,
    ) => {
      const changed = structuredClone(manifest);
      await registry.putBlob("chunked", image.config);
      for (const [index, layer] of image.layers.entries()) {
        await registry.putBlob("chunked", layer);
        const bytes = change(changed.layers[index]);
        if (bytes === undefined) continue;
        const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        await registry.putBlob("chunked", { ...layer, bytes, digest, size: bytes.length });
        Object.assign(changed.layers[index], { digest, size: bytes.length });
      }
      const bytes = new TextEncoder().encode(JSON.stringify(changed));
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      await registry.putManifest("chunked", tag, {
        ...image.manifest,
        bytes,
        digest,
        size: bytes.length,
      });
    };
    await push("chunked", (layer) => {
      const { bytes } = image.layers.find(({ digest }) => digest === layer["digest"])!;
      layer["annotations"] = {
        "io.github.containers.zstd-chunked.manifest-position": `${bytes.length}:5:5:1`,
      };
      return new Uint8Array([...bytes, ...table]);
    });
    const record = await bench.pull(`${registry.address}/chunked:chunked`);
    assert.equal(record.id, image.id);
    assert.equal(await bench.read(record.top!, "etc/hello"), "hello again\n");
    await push("foreign", (layer) => {
      layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
      layer["urls"] = [`http://${registry.address}/elsewhere`];
    });
    await assert.rejects(
      () => bench.pull(`${registry.address}/chunked:foreign`),
      (error: unknown) =>
        error instanceof FailedPreconditionError &&
        error.message.includes(image.layers[0]!.digest) &&
        error.details.value!.includes("nondistributable"),
    );
  }));
