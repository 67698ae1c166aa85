import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer } from "../integration/test_images.ts";
import { onWorkbench, refused, type Workbench } from "../support/workbench.ts";

const test = onWorkbench({
  async prepare({ directory, configPath }) {
    const text = await Deno.readTextFile(configPath);
    const dir = `signature_policy_dir = "${directory}/policies"`;
    await Deno.writeTextFile(
      configPath,
      text.replace("[sauropod.image]", `[sauropod.image]\n${dir}`),
    );
  },
  images: {
    user: () => busyboxImage({ config: { User: "1234:99", Cmd: ["/bin/sh"] } }),
    named: () => busyboxImage({ config: { User: "web", Cmd: ["/bin/sh"] } }),
  },
});

/** An image of the test's own; nothing else has its layer. */
async function push(bench: Workbench, repository: string, ...tags: string[]): Promise<string[]> {
  const image = busyboxImage({ layers: [busyboxLayer(), [{ path: "mark", content: repository }]] });
  for (const tag of tags) await bench.registry.push(`test/${repository}`, tag, image);
  return tags.map((tag) => `${bench.registry.address}/test/${repository}:${tag}`);
}

const listed = async ({ client }: Workbench, image = "") =>
  (await client.images.listImages({ filter: { image: { image } } })).images;
const status = async ({ client }: Workbench, image: string) =>
  (await client.images.imageStatus({ image: { image } })).image;
const pull = async ({ client }: Workbench, image: string) =>
  (await client.images.pullImage({ image: { image } })).imageRef;
const remove = ({ client }: Workbench, image: string) =>
  client.images.removeImage({ image: { image } });

test("an image that is not there has an empty status and is removed successfully", async (bench) => {
  const absent = `${bench.registry.address}/test/absent:1`;
  assert.equal(await status(bench, absent), undefined);
  await remove(bench, absent);
  await refused(pull(bench, absent), "NOT_FOUND", absent.replace(/:1$/, ""));
  await refused(status(bench, ""), "INVALID_ARGUMENT", "image");
  await refused(remove(bench, ""), "INVALID_ARGUMENT", "image");
  await refused(pull(bench, "UPPER case!"), "INVALID_ARGUMENT", "image");
});

test("a registry that nobody listens at is told by the word that the kubelet looks for", async (bench) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const host = `127.0.0.1:${port}`;
  await refused(pull(bench, `${host}/test/app:1`), "UNAVAILABLE", "RegistryUnavailable: ", host);
});

test("a namespace's policy is asked for pulls and again for containers", async (bench) => {
  const [tag = ""] = await push(bench, "policy", "1");
  const policies = `${bench.node.directory}/policies`;
  await Deno.mkdir(policies, { recursive: true });
  const write = (type: string) =>
    Deno.writeTextFile(`${policies}/default.json`, JSON.stringify({ default: [{ type }] }));
  try {
    await write("reject");
    const sandbox = await bench.sandbox();
    const sandboxConfig = { metadata: { name: "x", namespace: "default", uid: "x" } };
    const pulled = bench.client.images.pullImage({ image: { image: tag }, sandboxConfig });
    await refused(pulled, "PERMISSION_DENIED", "SignatureValidationFailed: ", policies);
    // Another namespace, or none, may have it.
    const id = await pull(bench, tag);
    for (const image of [tag, id]) {
      const created = bench.created(sandbox, { container: { image: { image } } });
      await refused(created, "PERMISSION_DENIED", "default.json");
    }
    await write("insecureAcceptAnything");
    const container = await bench.created(sandbox, { container: { image: { image: tag } } });
    await bench.runtime.removeContainer({ containerId: container.id });
    await remove(bench, id);
  } finally {
    await Deno.remove(policies, { recursive: true });
  }
});

test("a pulled image is found by tag, by digest, by id and by the beginning of its id", async (bench) => {
  const [tag = ""] = await push(bench, "found", "1");
  const id = await pull(bench, tag);
  assert.match(id, /^[0-9a-f]{64}$/);
  const image = await status(bench, tag);
  assert.ok(image !== undefined);
  assert.equal(image.id, id);
  assert.deepEqual(image.repoTags, [tag]);
  assert.equal(image.repoDigests.length, 1);
  assert.ok(image.size > 1_000_000n);
  for (const name of [id, id.slice(0, 12), ...image.repoDigests]) {
    assert.deepEqual(await status(bench, name), image, name);
    assert.deepEqual(await listed(bench, name), [image], name);
  }
  assert.deepEqual(await listed(bench, `${tag}x`), []);
  assert.equal(await pull(bench, tag), id, "a second pull is the same image");
  await remove(bench, id);
  assert.equal(await status(bench, tag), undefined);
});

test("an image with two names is one image; removing a name keeps it, removing the id does not", async (bench) => {
  const [one = "", two = "", three = ""] = await push(bench, "names", "1", "2", "3");
  const ids = [await pull(bench, one), await pull(bench, two), await pull(bench, three)];
  assert.equal(new Set(ids).size, 1);
  assert.deepEqual((await status(bench, one))?.repoTags, [one, two, three]);
  await remove(bench, one);
  assert.equal(await status(bench, one), undefined);
  assert.deepEqual((await status(bench, two))?.repoTags, [two, three]);
  await remove(bench, ids[0] ?? "");
  assert.equal(await status(bench, two), undefined);
});

test("an image that a container uses is not removed, and its name neither", async (bench) => {
  const [tag = ""] = await push(bench, "used", "1");
  const id = await pull(bench, tag);
  const sandbox = await bench.sandbox();
  const container = await bench.created(sandbox, { container: { image: { image: tag } } });
  for (const name of [id, tag]) {
    await refused(remove(bench, name), "FAILED_PRECONDITION", container.id, "remedy");
  }
  assert.equal((await status(bench, tag))?.id, id);
  await bench.runtime.removeContainer({ containerId: container.id });
  await remove(bench, tag);
  assert.equal(await status(bench, id), undefined);
});

test("the disk space of an image is free when its removal is answered", async (bench) => {
  const [tag = ""] = await push(bench, "space", "1");
  const layers = () => [...Deno.readDirSync(`${bench.node.root}/layers`)].length;
  const before = layers();
  await pull(bench, tag);
  assert.ok(layers() > before);
  const { imageFilesystems, containerFilesystems } = await bench.client.images.imageFsInfo({});
  assert.equal(imageFilesystems.length, 1);
  assert.equal(containerFilesystems.length, 1);
  assert.ok((imageFilesystems[0]?.usedBytes?.value ?? 0n) > 1_000_000n);
  await remove(bench, tag);
  assert.equal(layers(), before);
});

test("an image's user is told as a number or as a name", async (bench) => {
  const number = await status(bench, bench.image("user"));
  assert.deepEqual([number?.uid?.value, number?.username], [1234n, ""]);
  const name = await status(bench, bench.image("named"));
  assert.deepEqual([name?.uid, name?.username], [undefined, "web"]);
});

test("identical pulls at once are one, and a client that gives up does not end it", async (bench) => {
  const [tag = ""] = await push(bench, "together", "1");
  const impatient = bench.client.images.pullImage({ image: { image: tag } }, { timeoutMs: 5 });
  const outcome = impatient.then(() => "answered", () => "gave up");
  const ids = await Promise.all([pull(bench, tag), pull(bench, tag), pull(bench, tag)]);
  await outcome;
  assert.equal(new Set(ids).size, 1);
  assert.equal((await status(bench, tag))?.id, ids[0]);
  await remove(bench, tag);
});
