import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
} from "../../src/errors/mod.ts";
import { parsePolicy } from "../../src/image/policy.ts";
import { ImageBench } from "./image_bench.ts";
import {
  buildImage,
  buildIndex,
  dockerArchive,
  tarOf,
  type TestImageSpec,
  writeOciLayout,
} from "./test_images.ts";

const HELLO: TestImageSpec = {
  layers: [
    [{ path: "hello", content: "hello\n" }],
    [{ path: "second", content: "second\n" }],
  ],
};

async function withBench(
  act: (bench: ImageBench, scratch: string) => Promise<void>,
): Promise<void> {
  const scratch = await Deno.makeTempDir();
  try {
    await using bench = await ImageBench.open();
    await act(bench, scratch);
    for (const { id } of bench.images.all()) await bench.images.remove(id);
    assert.deepEqual(await bench.leftovers(), []);
    assert.deepEqual(bench.layers.all(), []);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args, stderr: "piped" }).output();
  assert(success, new TextDecoder().decode(stderr));
}

Deno.test("Images.load() takes OCI layouts as folder and tar, compressed or not", () =>
  withBench(async (bench, scratch) => {
    const image = buildImage(HELLO);
    const other = buildImage({ ...HELLO, architecture: "s390x" });
    const zstd = buildImage({ ...HELLO, compression: "zstd", config: { Cmd: ["/z"] } });
    const folder = `${scratch}/layout`;
    await writeOciLayout(folder, [
      { image: buildIndex([other, image]), name: "quay.io/team/hello:v1" },
      { image: zstd, name: "zstd:latest" },
    ]);
    await run("tar", "-C", folder, "-cf", `${scratch}/l.tar`, ".");
    const tar = await Deno.readFile(`${scratch}/l.tar`);
    await Deno.writeFile(`${scratch}/l.tar.gz`, gzipSync(tar));
    await Deno.writeFile(`${scratch}/l.tar.zst`, zstdCompressSync(tar));
    for (const path of [folder, ...["tar", "tar.gz", "tar.zst"].map((e) => `${scratch}/l.${e}`)]) {
      const [first, second] = await bench.images.load({ path });
      assert.equal(first!.id, image.id, path);
      assert.deepEqual(first!.repoTags, ["quay.io/team/hello:v1"]);
      assert.equal(first!.manifestDigest, image.manifest.digest);
      assert.deepEqual(second!.repoTags, ["docker.io/library/zstd:latest"]);
      assert.equal(bench.images.find("zstd")?.id, zstd.id);
      assert.equal(await bench.read(first!.top!, "hello"), "hello\n");
      for (const { id } of bench.images.all()) await bench.images.remove(id);
    }
  }));

Deno.test("Images.load() takes docker archives, plain and compressed", () =>
  withBench(async (bench, scratch) => {
    const path = `${scratch}/d.tar`;
    for (const compression of ["none", "gzip"] as const) {
      const image = buildImage({ ...HELLO, format: "docker", compression });
      const archive = dockerArchive([{ image, tags: ["hello:v1", "quay.io/x/hello:v2"] }]);
      for (const bytes of [archive, gzipSync(archive)]) {
        await Deno.writeFile(path, bytes);
        const [record] = await bench.images.load({ path });
        assert.equal(record!.id, image.id);
        assert.deepEqual(record!.repoTags, [
          "docker.io/library/hello:v1",
          "quay.io/x/hello:v2",
        ]);
        assert.equal(await bench.read(record!.top!, "second"), "second\n");
        await bench.images.remove(record!.id);
      }
    }
  }));

Deno.test("Images.load() takes what skopeo writes", () =>
  withBench(async (bench, scratch) => {
    const image = buildImage(HELLO);
    await writeOciLayout(`${scratch}/layout`, [{ image, name: "v1" }]);
    const copy = (target: string) =>
      run("skopeo", "--insecure-policy", "copy", "-q", `oci:${scratch}/layout:v1`, target);
    await copy(`docker-archive:${scratch}/d.tar:hello.example/app:v1`);
    await copy(`oci-archive:${scratch}/o.tar:hello.example/app:v2`);
    const [docker] = await bench.images.load({ path: `${scratch}/d.tar` });
    assert.deepEqual(docker!.repoTags, ["hello.example/app:v1"]);
    const [oci] = await bench.images.load({ path: `${scratch}/o.tar` });
    assert.equal(oci!.id, image.id);
    assert(bench.images.find("hello.example/app:v2") !== undefined);
    // Both unpack to the same layers, which are there once.
    assert.equal(bench.layers.all().length, 2);
  }));

Deno.test("Images.load() names an image that the archive does not name", () =>
  withBench(async (bench, scratch) => {
    const image = buildImage(HELLO);
    await writeOciLayout(`${scratch}/l`, [{ image }]);
    const [unnamed] = await bench.images.load({ path: `${scratch}/l` });
    assert.deepEqual(unnamed!.repoTags, []);
    const [named] = await bench.images.load({ path: `${scratch}/l`, reference: "my.example/a" });
    assert.deepEqual(named!.repoTags, ["my.example/a:latest"]);
  }));

Deno.test("Images.load() takes an image without layers", () =>
  withBench(async (bench, scratch) => {
    await writeOciLayout(`${scratch}/l`, [{
      image: buildImage({ layers: [] }),
      name: "a/empty:1",
    }]);
    const [record] = await bench.images.load({ path: `${scratch}/l` });
    assert.equal(record!.top, null);
  }));

Deno.test("Images.load() refuses broken and hostile archives, and leaves nothing", () =>
  withBench(async (bench, scratch) => {
    const image = buildImage({ ...HELLO, format: "docker", compression: "none" });
    const config = { path: "c.json", content: image.config.bytes };
    const manifest = (value: unknown) => ({
      path: "manifest.json",
      content: JSON.stringify(value),
    });
    const layers = image.layers.map((layer, i) => ({ path: `${i}.tar`, content: layer.bytes }));
    const good = { Config: "c.json", RepoTags: ["a:b"], Layers: ["0.tar", "1.tar"] };
    const archives: Record<string, Uint8Array> = {
      nothing: new Uint8Array(),
      noise: new TextEncoder().encode("x".repeat(5000)),
      "no manifest": tarOf([config]),
      "not json": tarOf([{ path: "manifest.json", content: "[" }]),
      "not a list": tarOf([manifest({})]),
      "no image": tarOf([manifest([])]),
      "no config": tarOf([manifest([{ ...good, Config: "../../../etc/passwd" }]), ...layers]),
      "a host file as layer": tarOf([
        config,
        manifest([{ ...good, Layers: ["/etc/passwd", "/etc/shadow"] }]),
      ]),
      "too few layers": tarOf([config, ...layers, manifest([{ ...good, Layers: ["0.tar"] }])]),
      "layers swapped": tarOf([
        config,
        ...layers,
        manifest([{ ...good, Layers: ["1.tar", "0.tar"] }]),
      ]),
      "a bad name": tarOf([config, ...layers, manifest([{ ...good, RepoTags: ["../a"] }])]),
      "a digest as name": tarOf([
        config,
        ...layers,
        manifest([{ ...good, RepoTags: [`a@sha256:${"0".repeat(64)}`] }]),
      ]),
      "cut off": tarOf([config, ...layers, manifest([good])]).subarray(0, 1500),
      "links in a circle": tarOf([
        { path: "manifest.json", link: "other" },
        { path: "other", link: "manifest.json" },
      ]),
      "cut gzip": gzipSync(tarOf([config, ...layers, manifest([good])])).subarray(0, 300),
    };
    const path = `${scratch}/a`;
    for (const [name, bytes] of Object.entries(archives)) {
      await Deno.writeFile(path, bytes);
      await assert.rejects(
        () => bench.images.load({ path }),
        InvalidArgumentError,
        name,
      );
      assert.deepEqual(await bench.leftovers(), [], name);
      assert.deepEqual(bench.layers.all(), [], name);
    }
    await assert.rejects(() => bench.images.load({ path: `${scratch}/none` }), NotFoundError);
    await assert.rejects(() => bench.images.load({ path: "/dev/null" }), FailedPreconditionError);
  }));

Deno.test("Images.load() reads nothing outside a layout's folder", () =>
  withBench(async (bench, scratch) => {
    const image = buildImage(HELLO);
    const folder = `${scratch}/l`;
    await writeOciLayout(folder, [{ image, name: "a/b:c" }]);
    const blob = `${folder}/blobs/sha256/${image.layers[0]!.digest.slice(7)}`;
    await Deno.rename(blob, `${scratch}/outside`);
    await Deno.symlink(`${scratch}/outside`, blob);
    await assert.rejects(() => bench.images.load({ path: folder }), InvalidArgumentError);
    await Deno.remove(blob);
    await assert.rejects(() => bench.images.load({ path: folder }), /lacks the blob/);
    await Deno.writeTextFile(blob, "damaged");
    await assert.rejects(() => bench.images.load({ path: folder }), InvalidArgumentError);
  }));

Deno.test("Images.load() asks the policy by the archive's kind", async () => {
  const scratch = await Deno.makeTempDir();
  try {
    const policy = parsePolicy(
      '{"default":[{"type":"reject"}],' +
        '"transports":{"oci":{"":[{"type":"insecureAcceptAnything"}]}}}',
      "/etc/p.json",
    );
    await using bench = await ImageBench.open({ policy });
    const image = buildImage({ ...HELLO, format: "docker", compression: "none" });
    await Deno.writeFile(`${scratch}/d.tar`, dockerArchive([{ image, tags: [] }]));
    await assert.rejects(
      () => bench.images.load({ path: `${scratch}/d.tar` }),
      PermissionDeniedError,
    );
    await writeOciLayout(`${scratch}/l`, [{ image: buildImage(HELLO), name: "a/b:c" }]);
    assert.equal((await bench.images.load({ path: `${scratch}/l` })).length, 1);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
});
