import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  CancelledError,
  InvalidArgumentError,
  NotFoundError,
  UnavailableError,
} from "../../src/errors/mod.ts";
import {
  type BlobFailure,
  type LayerApplication,
  type LayerSource,
  SYSTEM_TRUST,
} from "../../src/storage/mod.ts";
import { archive, concat } from "../../src/storage/testdata/tar_archive.ts";
import { StorageBench } from "./storage_bench.ts";

const HELLO = archive({ path: "./", type: "5" }, { path: "hello", content: "hello\n" });

/** One place alone; a failure there is told as JSON. */
function at(url: string, headers: Readonly<Record<string, string>> = {}): LayerSource {
  return {
    kind: "http",
    places: {
      next: (setback) => {
        if (setback !== undefined) throw failed(setback.failure);
        return Promise.resolve({ url, headers, tls: SYSTEM_TRUST });
      },
    },
  };
}

const failed = (failure: BlobFailure) => new NotFoundError(JSON.stringify(failure));

Deno.test("LayerStore.apply() unpacks plain, gzip and zstd blobs of several members", async () => {
  await using bench = await StorageBench.open();
  const half = HELLO.length / 2;
  const parts = [HELLO.subarray(0, half), HELLO.subarray(half)];
  const blobs = {
    none: HELLO,
    gzip: concat(...parts.map((part) => gzipSync(part))),
    zstd: concat(...parts.map((part) => zstdCompressSync(part))),
  };
  for (const compression of ["none", "gzip", "zstd"] as const) {
    const application = await bench.application(HELLO, { blob: blobs[compression], compression });
    const record = await bench.store.apply(application);
    assert.equal(
      await Deno.readTextFile(`${bench.store.lowerDirectories(record.chainId)[0]}/hello`),
      "hello\n",
    );
    await bench.store.collect(new Set());
    assert.deepEqual(bench.store.all(), []);
    assert.deepEqual(await bench.leftovers(), []);
  }
});

Deno.test("LayerStore.apply() shares identical calls, and the last to leave cancels", async () => {
  await using bench = await StorageBench.open();
  const application = await bench.application(HELLO);
  const [a, b] = await Promise.all([
    bench.store.apply(application),
    bench.store.apply(application),
  ]);
  assert.equal(a, b);
  assert.equal(bench.store.all().length, 1);

  const stuck = Deno.serve(
    { port: 0, onListen() {}, hostname: "127.0.0.1" },
    () => new Response(new ReadableStream({ start: (c) => c.enqueue(HELLO.subarray(0, 100)) })),
  );
  try {
    const [one, two] = [new AbortController(), new AbortController()];
    const other = archive({ path: "other", content: "x" });
    const { source: _source, ...rest } = await bench.application(other);
    const slow = (signal: AbortSignal): LayerApplication => ({
      ...rest,
      source: at(`http://127.0.0.1:${stuck.addr.port}/blob`),
      signal,
    });
    const first = bench.store.apply(slow(one.signal));
    const second = bench.store.apply(slow(two.signal));
    one.abort();
    await assert.rejects(first, CancelledError);
    two.abort();
    await assert.rejects(second, CancelledError);
    assert.deepEqual(await bench.leftovers(), []);
    // It can be had again at once.
    await bench.store.apply(await bench.application(other));
  } finally {
    await stuck.shutdown();
  }
});

Deno.test("LayerStore.apply() answers UnavailableError when the worker dies and then works again", async () => {
  await using bench = await StorageBench.open();
  const asked = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, onListen() {}, hostname: "127.0.0.1" }, () => {
    asked.resolve();
    return new Response(new ReadableStream({ start: (c) => c.enqueue(HELLO.subarray(0, 100)) }));
  });
  try {
    const application = await bench.application(HELLO);
    const pending = bench.store.apply({
      ...application,
      source: at(`http://127.0.0.1:${server.addr.port}/`),
    });
    await asked.promise;
    bench.workers.terminate();
    await assert.rejects(pending, UnavailableError);
    assert.deepEqual(await bench.leftovers(), []);
    await bench.store.apply(application);
  } finally {
    await server.shutdown();
  }
});

Deno.test("LayerStore.apply() sends headers to the first origin only and tells other statuses", async () => {
  await using bench = await StorageBench.open();
  const seen: string[] = [];
  const listen = (handler: (request: Request) => Response) =>
    Deno.serve({ port: 0, onListen() {}, hostname: "127.0.0.1" }, handler);
  const store = listen((request) => {
    seen.push(`store ${request.headers.get("authorization")}`);
    return new Response(HELLO);
  });
  const registry = listen((request) => {
    const { pathname } = new URL(request.url);
    seen.push(`registry ${pathname} ${request.headers.get("authorization")}`);
    switch (pathname) {
      case "/away":
        return Response.redirect(`http://127.0.0.1:${store.addr.port}/blob`, 307);
      case "/round":
        return new Response(null, { status: 302, headers: { location: "/round" } });
      default:
        return new Response("no", {
          status: 401,
          headers: { "www-authenticate": 'Bearer realm="x"' },
        });
    }
  });
  try {
    const from = async (path: string): Promise<LayerApplication> => ({
      ...await bench.application(HELLO),
      source: at(`http://127.0.0.1:${registry.addr.port}${path}`, {
        authorization: "Bearer secret",
      }),
    });
    await bench.store.apply(await from("/away"));
    assert.deepEqual(seen.splice(0), ["registry /away Bearer secret", "store null"]);
    await bench.store.collect(new Set());
    await assert.rejects(bench.store.apply(await from("/round")), /redirects more than 5 times/);
    assert.equal(seen.splice(0).length, 6);
    await assert.rejects(
      bench.store.apply(await from("/secret")),
      (error: unknown) => error instanceof NotFoundError && /"status":401/.test(error.message),
    );
    assert.deepEqual(await bench.leftovers(), []);
  } finally {
    await registry.shutdown();
    await store.shutdown();
  }
});

Deno.test("LayerStore.collect() keeps what a needed layer stands on and removes the rest", async () => {
  await using bench = await StorageBench.open();
  const base = await bench.apply(HELLO);
  const top = await bench.apply(archive({ path: "top", content: "1" }), base);
  const other = await bench.apply(archive({ path: "other", content: "2" }), base);
  assert.deepEqual(await bench.store.collect(new Set([top])), [other]);
  assert.deepEqual(bench.store.lowerDirectories(top).length, 2);
  assert.deepEqual([...await bench.store.collect(new Set())].sort(), [base, top].sort());
  assert.deepEqual([...Deno.readDirSync(`${bench.root}/layers`)], []);
  assert.deepEqual(await bench.state.journal.owners(), []);
});

Deno.test("LayerStore.collect() is not undone by a makeDurable() under way", async () => {
  await using bench = await StorageBench.open();
  const base = await bench.apply(HELLO);
  const table = bench.state.layers;
  const put = table.put;
  let collected: Promise<unknown> = Promise.resolve();
  Object.assign(table, {
    put: (...row: Parameters<typeof put>) => {
      const written = put(...row);
      collected = bench.store.collect(new Set());
      return written;
    },
  });
  await bench.store.makeDurable([base]);
  await collected;
  assert.equal(bench.store.get(base), undefined);
  assert.equal(table.get(base), undefined);
  assert.deepEqual(await bench.leftovers(), []);
});

Deno.test("createLayerStore() verifies what was not durable at an unclean boot and drops what differs", async () => {
  await using bench = await StorageBench.open();
  const durable = await bench.apply(HELLO);
  await bench.store.makeDurable([durable]);
  const whole = await bench.apply(archive({ path: "whole", content: "1" }));
  const short = await bench.apply(archive({ path: "short", content: "12345" }));
  await Deno.truncate(`${bench.store.lowerDirectories(short)[0]}/short`, 0);
  await bench.close();
  // The same boot: the page cache has everything, nothing is looked at.
  const same = await StorageBench.open({ directory: bench.directory });
  assert.equal(same.store.all().length, 3);
  await same.close();
  const next = await StorageBench.open({ directory: bench.directory, bootId: "boot-2" });
  try {
    assert.deepEqual(
      next.store.all().map(({ chainId }) => chainId).sort(),
      [durable, whole].sort(),
    );
    assert(next.store.all().every((record) => record.durable));
    assert.deepEqual(await next.leftovers(), []);
  } finally {
    await next.close();
  }
});

Deno.test("createLayerStore() takes layers in again from their record files when the database is lost", async () => {
  await using bench = await StorageBench.open();
  const chainId = await bench.apply(HELLO);
  const damaged = await bench.apply(archive({ path: "damaged", content: "1" }));
  await Deno.writeTextFile(`${bench.store.lowerDirectories(damaged)[0]}/../record.json`, "{}");
  const before = bench.store.get(chainId);
  await bench.close();
  await Deno.remove(`${bench.directory}/images.db`);
  for (const suffix of ["-wal", "-shm"]) {
    await Deno.remove(`${bench.directory}/images.db${suffix}`).catch(() => {});
  }
  const again = await StorageBench.open({ directory: bench.directory });
  try {
    assert.deepEqual(again.store.all(), [before]);
    assert.deepEqual(await again.leftovers(), []);
    await again.store.collect(new Set());
    assert.deepEqual([...Deno.readDirSync(`${bench.root}/layers`)], []);
  } finally {
    await again.close();
  }
});

Deno.test("createLayerStore() removes what a crash left while unpacking", async () => {
  await using bench = await StorageBench.open();
  const { chainId } = await bench.application(HELLO);
  await bench.state.journal.intend(chainId, "layer-directory", { chainId });
  await Deno.mkdir(`${bench.root}/layers/.new-${chainId.slice(7)}/diff/a`, { recursive: true });
  await bench.close();
  const again = await StorageBench.open({ directory: bench.directory });
  try {
    assert.deepEqual(await again.leftovers(), []);
    assert.deepEqual(await again.state.journal.owners(), []);
    await again.apply(HELLO);
  } finally {
    await again.close();
  }
});

Deno.test("LayerStore.apply() refuses a blob whose size, digest or diff ID differ", async () => {
  await using bench = await StorageBench.open();
  const application = await bench.application(HELLO);
  const other = await bench.application(archive({ path: "other" }));
  const wrong: [Partial<LayerApplication>, RegExp][] = [
    [{ blobSize: application.blobSize - 1n }, /more bytes came/],
    [{ blobSize: application.blobSize + 1n }, /only 2560 came/],
    [{ blobDigest: other.blobDigest }, /the digest of its blob/],
    [{ diffId: other.diffId }, /the diff ID of its uncompressed archive/],
  ];
  for (const [change, message] of wrong) {
    await assert.rejects(bench.store.apply({ ...application, ...change }), (error) => {
      assert(error instanceof InvalidArgumentError);
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual(await bench.leftovers(), []);
  }
});
