/**
 * Databases that are deleted, cut short, overwritten or robbed of their log while containers run: the
 * next start finds everything again by the record files, and what runs does not notice.
 *
 * @module
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { startRegistry, type TestRegistry } from "../integration/registry.ts";
import { busyboxImage, busyboxLayer } from "../integration/test_images.ts";
import type { CriClient } from "../support/cri_client.ts";
import { containerConfig, podConfig, removePod, runPod } from "../support/pods.ts";
import { awaitNoResidue, containerInfo, pictureOf } from "../support/picture.ts";
import { TestNode } from "../support/test_node.ts";

const SECOND = "test/second";

/** Two running pods, a stopped one and an ended container: some of it older than the last clean stop. */
class World implements AsyncDisposable {
  readonly node: TestNode;
  readonly registry: TestRegistry;
  readonly image: string;
  readonly #owned: AsyncDisposable;
  readonly #second: string;
  #serial = 0;

  private constructor(registry: TestRegistry, node: TestNode, owned: AsyncDisposable) {
    this.registry = registry;
    this.node = node;
    this.image = `${registry.address}/test/world:1`;
    this.#second = `${registry.address}/${SECOND}:1`;
    this.#owned = owned;
  }

  static async make(): Promise<World> {
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    await registry.push("test/world", "1", busyboxImage());
    await registry.push(
      SECOND,
      "1",
      busyboxImage({ layers: [[...busyboxLayer(), { path: "second", content: "2" }]] }),
    );
    const node = undo.use(await TestNode.make({ insecureRegistries: [registry.address] }));
    const world = new World(registry, node, undo.move());
    try {
      await world.#populate();
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async #populate(): Promise<void> {
    const { node, image } = this;
    {
      await using server = await node.start();
      const { client } = server;
      await client.images.pullImage({ image: { image } });
      await runPod(client, node, { name: "older", image, labels: { age: "older" } });
    }
    await using server = await node.start();
    const { client } = server;
    const { sandbox } = await runPod(client, node, {
      name: "newer",
      image,
      labels: { age: "newer" },
    });
    const { containerId } = await client.runtime.createContainer({
      podSandboxId: sandbox,
      config: containerConfig({ name: "ends", image, script: "exit 3" }),
      sandboxConfig: podConfig(node, { name: "newer", labels: { age: "newer" } }),
    });
    await client.runtime.startContainer({ containerId });
    await untilExited(client, containerId);
    const stopped = await runPod(client, node, { name: "stopped", image });
    await client.runtime.stopPodSandbox({ podSandboxId: stopped.sandbox });
  }

  /** Kills the server, does harm, starts it again, and compares. */
  async survives(harm: (root: string) => Promise<void> | void): Promise<void> {
    const { node, image } = this;
    let before;
    {
      // Something that only the log of the databases knows.
      await using server = await node.start();
      await server.client.images.removeImage({ image: { image: this.#second } });
      await server.client.images.pullImage({ image: { image: this.#second } });
      const fresh = await runPod(server.client, node, { name: `fresh${this.#serial++}`, image });
      before = await pictureOf(server.client);
      assert.ok(before.containers.some(({ id }) => id === fresh.container));
      // The copies of the records are written behind the answers.
      await new Promise((resolve) => setTimeout(resolve, 300));
      await server.kill();
    }
    await harm(node.root);
    await using server = await node.start();
    const { client } = server;
    assert.deepEqual(await pictureOf(client), before);
    for (const { id, state } of before.containers) {
      if (state !== 1) continue;
      const { exitCode, stdout } = await client.runtime.execSync({
        containerId: id,
        cmd: ["echo", "there"],
        timeout: 30n,
      });
      assert.deepEqual([exitCode, new TextDecoder().decode(stdout)], [0, "there\n"]);
    }
    const { sandbox } = await runPod(client, node, { name: `after${this.#serial}`, image });
    await removePod(client, sandbox);
  }

  /** Takes everything away. */
  async clear(): Promise<void> {
    await using server = await this.node.start();
    const { client } = server;
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) await removePod(client, id);
    const { images } = await client.images.listImages({});
    for (const { id } of images) await client.images.removeImage({ image: { image: id } });
    await awaitNoResidue(this.node);
    assert.deepEqual([...Deno.readDirSync(`${this.node.root}/layers`)], []);
    assert.deepEqual([...Deno.readDirSync(`${this.node.root}/images`)], []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

async function untilExited(client: CriClient, id: string): Promise<void> {
  while ((await containerInfo(client, id)).status.state !== 2) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function remove(...paths: string[]): void {
  for (const path of paths) {
    try {
      Deno.removeSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Moves the log into the file itself, so that what is done to the file matters. */
function foldLog(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  // Closing took the log away, which would be a harm of its own.
  Deno.writeFileSync(`${path}-wal`, new Uint8Array());
}

const HARMS: Readonly<Record<string, (path: string) => void>> = {
  "lost its log": (path) => remove(`${path}-wal`, `${path}-shm`),
  "was deleted": (path) => remove(path, `${path}-wal`, `${path}-shm`),
  "was deleted but for its log": (path) => remove(path),
  "was cut to half its size": (path) => {
    foldLog(path);
    Deno.truncateSync(path, Math.floor(Deno.statSync(path).size / 2 / 4096) * 4096 + 100);
  },
  "was emptied": (path) => {
    foldLog(path);
    Deno.truncateSync(path, 0);
  },
  "has its first page zeroed": (path) => zeroPage(path, 0),
  "has an inner page zeroed": (path) => zeroPage(path, 2),
};

function zeroPage(path: string, page: number): void {
  foldLog(path);
  using file = Deno.openSync(path, { write: true });
  file.seekSync(page * 4096, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(4096));
}

for (const name of ["pods.db", "images.db"]) {
  Deno.test({
    name: `a start whose ${name} is damaged while containers run finds everything as it was`,
    sanitizeResources: false,
    sanitizeOps: false,
    async fn(t) {
      await using world = await World.make();
      for (const [harm, act] of Object.entries(HARMS)) {
        await t.step(`${name} ${harm}`, () => world.survives((root) => act(`${root}/${name}`)));
      }
      await t.step("stopping and removing all of it leaves nothing", () => world.clear());
    },
  });
}

Deno.test({
  name: "records that cannot be read in the database are taken from their copies",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using world = await World.make();
    await world.survives((root) => {
      const database = new DatabaseSync(`${root}/pods.db`);
      database.exec(`UPDATE containers SET value = '{"id":"nonsense"}'`);
      database.exec(`UPDATE sandboxes SET value = '{"state":{"kind":"nonsense"}}'`);
      database.close();
    });
    await world.clear();
  },
});

Deno.test({
  name:
    "a damaged record file beside a lost database costs that one record, and the start tells it",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using world = await World.make();
    const { node, image } = world;
    let lost: { readonly sandbox: string; readonly container: string };
    let before;
    {
      await using server = await node.start();
      lost = await runPod(server.client, node, { name: "lost", image });
      before = await pictureOf(server.client);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await server.kill();
    }
    const path = `${node.root}/containers/${lost.container}/record.json`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace('"running"', '"rumming"'));
    HARMS["was deleted"]!(`${node.root}/pods.db`);
    await using server = await node.start();
    const after = await pictureOf(server.client);
    assert.deepEqual(after.sandboxes, before.sandboxes);
    assert.deepEqual(
      after.containers,
      before.containers.filter(({ id }) => id !== lost.container),
    );
    const log = await Deno.readTextFile(server.logPath);
    assert.ok(
      log.split("\n").some((line) =>
        /damaged record file/i.test(line) && line.includes(lost.container)
      ),
    );
  },
});
