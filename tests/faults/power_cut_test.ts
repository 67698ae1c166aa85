/**
 * The plug is pulled at every gate of a pull, before and after it was answered: ext4 on a loop device is
 * shut down without flushing its log, and mounted again for a server of the next boot.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage, busyboxLayer, sha256, type TestEntry } from "../integration/test_images.ts";
import { type CountingProxy, startCountingProxy } from "../support/counting_proxy.ts";
import type { CriClient } from "../support/cri_client.ts";
import { removePod, runPod } from "../support/pods.ts";
import { TestDisk } from "../support/test_disk.ts";
import { TestNode } from "../support/test_node.ts";

const DISK_BYTES = 192 << 20;

/** Files whose bytes nobody would guess, one a layer. */
function contentOf(layer: string): Uint8Array {
  const bytes = new Uint8Array(300_000);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31 + layer.charCodeAt(0)) % 251;
  return bytes;
}

const LAYERS: readonly (readonly TestEntry[])[] = [
  busyboxLayer(),
  [{ path: "data/" }, { path: "data/b", content: contentOf("b") }],
  [{ path: "data/" }, { path: "data/c", content: contentOf("c") }],
];

class Power implements AsyncDisposable {
  readonly node: TestNode;
  readonly disk: TestDisk;
  readonly proxy: CountingProxy;
  readonly image: string;
  readonly layers: ReadonlySet<string>;
  readonly #owned: AsyncDisposable;
  #boots = 0;

  private constructor(
    fields: Pick<Power, "node" | "disk" | "proxy" | "image" | "layers">,
    owned: AsyncDisposable,
  ) {
    this.node = fields.node;
    this.disk = fields.disk;
    this.proxy = fields.proxy;
    this.image = fields.image;
    this.layers = fields.layers;
    this.#owned = owned;
  }

  static async make(): Promise<Power> {
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    const image = busyboxImage({ layers: LAYERS });
    await registry.push("test/power", "1", image);
    const proxy = undo.use(startCountingProxy(registry.address));
    const disk = undo.use(await TestDisk.make(DISK_BYTES));
    const node = undo.use(
      await TestNode.make({ root: disk.root, insecureRegistries: [proxy.address] }),
    );
    const layers = new Set(image.layers.map(({ digest }) => digest));
    return new Power(
      { node, disk, proxy, layers, image: `${proxy.address}/test/power:1` },
      undo.move(),
    );
  }

  /** Gates of a pull, up to the image's durability. */
  async gates(): Promise<string[]> {
    const trace = `${this.node.directory}/gates`;
    await using server = await this.node.start({ ...this.boot(), faultGate: `trace:${trace}` });
    await this.pull(server.client);
    await untilPassed(trace, "pull-image.make-durable.done");
    await this.#remove(server.client);
    const gates = (await Deno.readTextFile(trace)).split("\n");
    return [...new Set(gates.slice(0, gates.indexOf("pull-image.make-durable.done") + 1))];
  }

  /** Cuts the power while the server hangs at a gate of the pull, and starts the next boot. */
  async cutAt(gate: string): Promise<void> {
    const trace = `${this.node.directory}/trace-${gate}`;
    {
      const faultGate = `hang:${gate},trace:${trace}`;
      await using server = await this.node.start({ ...this.boot(), faultGate });
      const pulling = this.pull(server.client).catch(() => {});
      await untilPassed(trace, gate);
      this.disk.pullThePlug();
      await server.kill();
      await pulling;
    }
    await this.disk.unmount();
    await this.disk.mount();
    this.#boots++;
    await this.#assertWhole();
  }

  /** What the next boot finds and makes of it. */
  async #assertWhole(): Promise<void> {
    const { node, proxy, layers } = this;
    await using server = await node.start(this.boot());
    const { client } = server;
    const kept = [...Deno.readDirSync(`${node.root}/layers`)].length;
    const { images } = await client.images.listImages({});
    assert.ok(images.length === 0 || kept === layers.size, "an image is listed without its layers");
    proxy.takeBlobs();
    await this.pull(client);
    const fetched = proxy.takeBlobs().filter((digest) => layers.has(digest));
    assert.equal(new Set(fetched).size, fetched.length, "a layer was fetched twice");
    assert.equal(fetched.length, layers.size - kept, "whole layers stay, the others come again");
    await this.#assertContents(client);
    await this.#remove(client);
  }

  async #assertContents(client: CriClient): Promise<void> {
    const { sandbox, container } = await runPod(client, this.node, {
      name: "reads",
      image: this.image,
    });
    for (const [path, expected] of filesOf(LAYERS)) {
      const { stdout, exitCode } = await client.runtime.execSync({
        containerId: container,
        cmd: ["cat", path],
        timeout: 60n,
      });
      assert.equal(exitCode, 0);
      assert.equal(sha256(stdout), sha256(expected), path);
    }
    await removePod(client, sandbox);
  }

  async pull(client: CriClient): Promise<void> {
    await client.images.pullImage({ image: { image: this.image } }, { timeoutMs: 60_000 });
  }

  async #remove(client: CriClient): Promise<void> {
    await client.images.removeImage({ image: { image: this.image } });
    assert.deepEqual([...Deno.readDirSync(`${this.node.root}/layers`)], []);
  }

  boot(): { readonly bootId: string } {
    return { bootId: `00000000-0000-4000-8000-${String(this.#boots).padStart(12, "0")}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

function filesOf(layers: readonly (readonly TestEntry[])[]): [string, Uint8Array][] {
  return layers.flat().flatMap(({ path, content }) =>
    content instanceof Uint8Array ? [[`/${path}`, content]] : []
  );
}

async function untilPassed(trace: string, gate: string): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    const text = await Deno.readTextFile(trace).catch(() => "");
    if (text.split("\n").includes(gate)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`${gate} was not passed`);
}

Deno.test({
  name: "a plug pulled at any gate of a pull leaves whole layers, and the pull can be repeated",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn(t) {
    await using power = await Power.make();
    const gates = await power.gates();
    assert.ok(gates.length > 15, `only ${gates.length} gates were passed`);
    console.log(`${gates.length} gates`);
    const wanted = new RegExp(Deno.env.get("FAULT_GATES") ?? "");
    for (const gate of gates.filter((gate) => wanted.test(gate))) {
      await t.step(gate, () => power.cutAt(gate));
    }
  },
});
