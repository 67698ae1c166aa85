import assert from "node:assert/strict";
import { createLinuxKernel, InotifyWatcher } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { ConfigurationReloader } from "./configuration_reloader.ts";

/** A folder of drop-ins; `found()` resolves once a reading has found that content in it. */
class Bench implements Disposable {
  readonly root = Deno.makeTempDirSync();
  readonly directory = `${this.root}/conf.d`;
  readonly #watcher = new InotifyWatcher(createLinuxKernel());
  readonly #waiting: { readonly text: string | undefined; readonly resolve: () => void }[] = [];
  last: string | undefined;

  reloader(): ConfigurationReloader {
    return new ConfigurationReloader({
      live: {
        reload: () => {
          this.last = textOf(`${this.directory}/10.conf`);
          for (const { text, resolve } of this.#waiting) if (text === this.last) resolve();
          return Promise.resolve({ changed: [], needRestart: [] });
        },
      },
      places: [{ directory: this.directory }],
      watcher: this.#watcher,
      around: (reload) => reload(),
      log: silentLogger,
    });
  }

  make(): void {
    Deno.mkdirSync(this.directory);
  }

  write(text: string): void {
    Deno.writeTextFileSync(`${this.directory}/10.conf`, text);
  }

  found(text: string | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (text === this.last) resolve();
      else this.#waiting.push({ text, resolve });
    });
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    Deno.removeSync(this.root, { recursive: true });
  }
}

function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

Deno.test("a folder of the configuration that is replaced is watched on", async () => {
  using bench = new Bench();
  bench.make();
  using _reloader = bench.reloader();
  bench.write("first");
  await bench.found("first");
  Deno.renameSync(bench.directory, `${bench.root}/old`);
  bench.make();
  bench.write("second");
  await bench.found("second");
  bench.write("third");
  await bench.found("third");
});

Deno.test("a folder of the configuration that is made late, or again after a while, is watched", async () => {
  using bench = new Bench();
  using _reloader = bench.reloader();
  for (const round of [1, 2]) {
    bench.make();
    bench.write(`made ${round}`);
    await bench.found(`made ${round}`);
    bench.write(`changed ${round}`);
    await bench.found(`changed ${round}`);
    Deno.removeSync(bench.directory, { recursive: true });
    await bench.found(undefined);
  }
});

Deno.test("nothing is read any more once the reloader is disposed", async () => {
  using bench = new Bench();
  bench.make();
  const reloader = bench.reloader();
  bench.write("before");
  await bench.found("before");
  reloader[Symbol.dispose]();
  bench.write("after");
  await reloader.reload("SIGHUP");
  assert.equal(bench.last, "before");
});
