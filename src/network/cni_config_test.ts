import assert from "node:assert/strict";
import { UnavailableError } from "../errors/mod.ts";
import { createLinuxKernel, InotifyWatcher } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { CniConfig } from "./cni_config.ts";
import { PluginDirectories } from "./plugin_paths.ts";

class Place implements AsyncDisposable {
  readonly #watcher = new InotifyWatcher(createLinuxKernel());
  readonly #configs: CniConfig[] = [];

  private constructor(readonly root: string) {}

  static async make(): Promise<Place> {
    return new Place(await Deno.makeTempDir({ prefix: "sauropod-cni-" }));
  }

  /** What each plugin says that it knows; nothing unless a test says so. */
  readonly known = new Map<string, string[]>();
  readonly versions = { supportedBy: (name: string) => Promise.resolve(this.known.get(name)) };

  get plugins(): PluginDirectories {
    return new PluginDirectories([`${this.root}/bin`, `${this.root}/more/`]);
  }

  async config(defaultNetwork = ""): Promise<CniConfig> {
    const config = new CniConfig({
      configDir: `${this.root}/net.d/`,
      defaultNetwork,
      plugins: this.plugins,
      versions: this.versions,
      watcher: this.#watcher,
      logger: silentLogger,
    });
    this.#configs.push(config);
    await config.start();
    return config;
  }

  async plugin(name: string, mode = 0o755): Promise<void> {
    await Deno.mkdir(`${this.root}/bin`, { recursive: true });
    await Deno.writeTextFile(`${this.root}/bin/${name}`, "#!/bin/sh\n", { mode });
  }

  async file(name: string, content: unknown): Promise<void> {
    await Deno.mkdir(`${this.root}/net.d`, { recursive: true });
    const text = typeof content === "string" ? content : JSON.stringify(content);
    await Deno.writeTextFile(`${this.root}/net.d/${name}`, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const config of this.#configs) config[Symbol.dispose]();
    this.#watcher[Symbol.dispose]();
    await Deno.remove(this.root, { recursive: true });
  }
}

const network = (name: string, ...types: string[]) => ({
  cniVersion: "1.0.0",
  name,
  plugins: types.map((type) => ({ type })),
});

const messageOf = (config: CniConfig) => {
  const readiness = config.readiness();
  return readiness.ready ? "ready" : readiness.message;
};

async function until(condition: () => boolean): Promise<void> {
  const guard = AbortSignal.timeout(10_000);
  while (!condition()) {
    guard.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("the first usable file in lexical order gives the network", async () => {
  await using place = await Place.make();
  await place.plugin("a");
  await place.file("20-second.conflist", network("second", "a"));
  await place.file("10-first.conf", { cniVersion: "0.4.0", name: "first", type: "a" });
  await place.file("05-note.txt", network("note", "a"));
  await place.file("06-broken.json", "{");
  assert.equal((await place.config()).choose().name, "first");
  assert.equal((await place.config("second")).choose().name, "second");
});

Deno.test("readiness says where it looked and what was wrong", async () => {
  await using place = await Place.make();
  const config = await place.config();
  assert.match(messageOf(config), /no usable network in .*net\.d$/);
  assert.throws(() => config.choose(), UnavailableError);
  await place.file("1.conflist", "{");
  await place.file("2.conflist", network("../x", "a"));
  await place.file("3.conflist", network("three", "a"));
  await config.reload();
  assert.match(messageOf(config), /1\.conflist: .*JSON/);
  assert.match(messageOf(config), /2\.conflist: name .* is not a network name/);
  assert.match(messageOf(config), /3\.conflist: plugin "a" is in none of .*bin, .*more/);
});

Deno.test("a default network that no file has is not ready, another does not stand in", async () => {
  await using place = await Place.make();
  await place.plugin("a");
  await place.file("1.conflist", network("one", "a"));
  assert.match(messageOf(await place.config("two")), /no network "two"/);
});

Deno.test("a file that is no regular file, or too large, is passed over", async () => {
  await using place = await Place.make();
  await place.plugin("a");
  await Deno.mkdir(`${place.root}/net.d`);
  await new Deno.Command("mkfifo", { args: [`${place.root}/net.d/1.conf`] }).output();
  await place.file("2.conf", " ".repeat(1024 * 1024 + 1));
  await place.file("3.conflist", network("three", "a"));
  assert.equal((await place.config()).choose().name, "three");
});

Deno.test("configuration and plugins that appear later are seen", async () => {
  await using place = await Place.make();
  const config = await place.config();
  await place.file(".1.tmp", network("one", "a"));
  await Deno.rename(`${place.root}/net.d/.1.tmp`, `${place.root}/net.d/1.conflist`);
  await until(() => messageOf(config).includes('plugin "a"'));
  await place.plugin("a");
  await until(() => config.readiness().ready);
  await Deno.remove(`${place.root}/net.d/1.conflist`);
  await until(() => !config.readiness().ready);
});

Deno.test("a directory that is replaced is watched again", async () => {
  await using place = await Place.make();
  await place.plugin("a");
  const config = await place.config();
  await Deno.remove(`${place.root}/net.d`, { recursive: true });
  await until(() => {
    try {
      return Deno.statSync(`${place.root}/net.d`).isDirectory;
    } catch {
      return false;
    }
  });
  await place.file("1.conflist", network("one", "a"));
  await until(() => config.readiness().ready);
});

Deno.test("a plugin is an executable file in one of the directories", async () => {
  await using place = await Place.make();
  await place.plugin("good");
  await place.plugin("data", 0o644);
  await Deno.mkdir(`${place.root}/bin/folder`);
  const { plugins } = place;
  assert.equal(await plugins.find("good"), `${place.root}/bin/good`);
  for (const name of ["data", "folder", "none", "", "..", "../bin/good"]) {
    assert.equal(await plugins.find(name), undefined, name);
  }
});

Deno.test("a directory is watched once, however often the kernel lost events of it", async () => {
  await using place = await Place.make();
  const listeners = new Set<(event: { readonly kind: "rescan" }) => void>();
  using config = new CniConfig({
    configDir: `${place.root}/net.d`,
    defaultNetwork: "",
    plugins: place.plugins,
    versions: place.versions,
    watcher: {
      watchDirectory(_path, listener) {
        // A function of its own for each call, as each watch is one of its own.
        const own = (event: { readonly kind: "rescan" }) => listener(event);
        listeners.add(own);
        return { [Symbol.dispose]: () => void listeners.delete(own) };
      },
      [Symbol.dispose]() {},
    },
    logger: silentLogger,
  });
  await config.start();
  const watched = listeners.size;
  for (let overflow = 0; overflow < 5; overflow++) {
    for (const listener of [...listeners]) listener({ kind: "rescan" });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(listeners.size, watched);
});

Deno.test("of the versions that a list offers, the newest that every plugin knows is used", async () => {
  await using place = await Place.make();
  await place.plugin("old");
  await place.plugin("new");
  await place.plugin("silent");
  place.known.set("old", ["0.4.0", "1.0.0"]).set("new", ["0.4.0", "1.0.0", "1.1.0"]);
  const offer = { cniVersion: "0.4.0", cniVersions: ["0.4.0", "1.0.0", "1.1.0"] };
  await place.file("10.conflist", { ...network("n", "new", "silent"), ...offer });
  const config = await place.config();
  assert.equal(config.current()?.cniVersion, "1.1.0");
  await place.file("10.conflist", { ...network("n", "new", "old"), ...offer });
  await config.reload();
  assert.equal(config.current()?.cniVersion, "1.0.0");
  assert.equal(config.choose().configuration["cniVersion"], "1.0.0", "in the record, too");
  // The IPAM plugin gets the same configuration.
  const plugins = [{ type: "new", ipam: { type: "old" } }];
  await place.file("10.conflist", { name: "n", cniVersion: "1.1.0", plugins });
  await config.reload();
  assert.match(messageOf(config), /plugin "old" knows version 0\.4\.0, 1\.0\.0, not 1\.1\.0/);
});
