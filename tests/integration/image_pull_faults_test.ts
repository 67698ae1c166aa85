import assert from "node:assert/strict";
import {
  errorKind,
  FailedPreconditionError,
  InvalidArgumentError,
  PermissionDeniedError,
  ResourceExhaustedError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from "../../src/errors/mod.ts";
import { createLogger } from "../../src/telemetry/mod.ts";
import { loadPolicy } from "../../src/image/policy.ts";
import { cutOff, endless, type Fault, FaultyRegistry, stuck } from "./faulty_registry.ts";
import { ImageBench, type ImageBenchOptions, insecure } from "./image_bench.ts";
import { startRegistry } from "./registry.ts";
import { buildImage, MEDIA_TYPES, type TestImage } from "./test_images.ts";

const IMAGE = buildImage({
  layers: [
    [{ path: "one", content: "1".repeat(100_000) }],
    [{ path: "two", content: "2" }],
  ],
});

interface Faulty {
  readonly front: FaultyRegistry;
  readonly bench: ImageBench;
  readonly name: string;
}

async function withFault(
  fault: Fault | ConstructorParameters<typeof FaultyRegistry>[1],
  act: (faulty: Faulty) => Promise<void>,
  { image = IMAGE, ...options }: ImageBenchOptions & { readonly image?: TestImage } = {},
): Promise<void> {
  await using registry = await startRegistry();
  await registry.push("app", "v1", image);
  await using front = new FaultyRegistry(
    registry,
    typeof fault === "function" ? { fault } : fault,
  );
  await using bench = await ImageBench.open({
    registriesConf: insecure(front.address),
    ...options,
  });
  await act({ front, bench, name: `${front.address}/app:v1` });
  assert.deepEqual(await bench.leftovers(), []);
  if (bench.images.all().length === 0) assert.deepEqual(bench.layers.all(), []);
}

const is = (kind: "manifests" | "blobs") => (request: Request) =>
  new URL(request.url).pathname.includes(`/${kind}/`);
const isManifest = is("manifests");
const isBlob = is("blobs");
const isLayer = (request: Request) => isBlob(request) && !request.url.includes(IMAGE.config.digest);

Deno.test("Images.pull() tries again after 500, 503, 429 and broken connections", async () => {
  const faults: Record<string, () => Response> = {
    "500": () => new Response("oops", { status: 500 }),
    "503": () => new Response("", { status: 503, headers: { "retry-after": "0" } }),
    "429": () => new Response("", { status: 429, headers: { "retry-after": "1" } }),
    cut: () => cutOff(IMAGE.layers[0]!.bytes, 50),
  };
  for (const [name, fault] of Object.entries(faults)) {
    for (const where of [isManifest, isLayer]) {
      await withFault(
        (request, before) => where(request) && before === 0 ? fault() : undefined,
        async ({ bench, name: image }) => {
          assert.equal((await bench.pull(image)).id, IMAGE.id, name);
        },
      );
    }
  }
});

Deno.test("Images.pull() gives up after its attempts, and leaves nothing", async () => {
  for (const where of [isManifest, isLayer]) {
    await withFault(
      (request) => where(request) ? new Response("", { status: 500 }) : undefined,
      async ({ bench, name, front }) => {
        await assert.rejects(
          () => bench.pull(name),
          (error: unknown) => errorKind(error) === "unavailable",
        );
        const asked = front.requests.filter((line) =>
          where(new Request(`http://x${line.slice(4)}`))
        );
        assert(asked.length >= 3, asked.join());
      },
    );
  }
});

Deno.test("Images.pull() does not try again what will not change", async () => {
  for (const status of [401, 403, 404]) {
    await withFault(
      (request) => isManifest(request) ? new Response("{}", { status }) : undefined,
      async ({ bench, name, front }) => {
        await assert.rejects(() => bench.pull(name));
        assert.equal(front.count("/manifests/"), 1, String(status));
      },
    );
  }
});

Deno.test("Images.pull() refuses bytes with another digest", async () => {
  await withFault(
    (request) =>
      isManifest(request)
        ? new Response(IMAGE.manifest.bytes as Uint8Array<ArrayBuffer>, {
          headers: {
            "content-type": MEDIA_TYPES.ociManifest,
            "docker-content-digest": `sha256:${"0".repeat(64)}`,
          },
        })
        : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), InvalidArgumentError);
    },
  );
  await withFault(
    (request) => isManifest(request) ? new Response("{}") : undefined,
    async ({ bench, front }) => {
      const name = `${front.address}/app@${IMAGE.manifest.digest}`;
      await assert.rejects(() => bench.pull(name), InvalidArgumentError);
    },
  );
  await withFault(
    (request) => isLayer(request) ? new Response("not the layer") : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), InvalidArgumentError);
    },
  );
  await withFault(
    (request) => request.url.endsWith(IMAGE.config.digest) ? new Response("{}") : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), InvalidArgumentError);
    },
  );
});

Deno.test("Images.pull() reads no more than the limit of manifests, configurations and tokens", async () => {
  await withFault(
    (request) => isManifest(request) ? endless() : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), ResourceExhaustedError);
    },
  );
  await withFault(
    (request) => request.url.endsWith(IMAGE.config.digest) ? endless() : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), ResourceExhaustedError);
    },
  );
  await withFault(
    (request) =>
      new URL(request.url).pathname === "/v2/"
        ? new Response("", {
          status: 401,
          headers: {
            "www-authenticate": `Bearer realm="http://${new URL(request.url).host}/big"`,
          },
        })
        : request.url.includes("/big")
        ? endless()
        : undefined,
    async ({ bench, name }) => {
      await assert.rejects(() => bench.pull(name), ResourceExhaustedError);
    },
  );
});

Deno.test("Images.pull() gives up a registry that is slow, naming it", async () => {
  await withFault(
    (request) =>
      isManifest(request)
        ? new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(1)) }))
        : undefined,
    async ({ bench, name, front }) => {
      await assert.rejects(
        () => bench.pull(name),
        (error: unknown) =>
          error instanceof UnavailableError && error.message.includes(front.address),
      );
    },
    { requestTimeoutMs: 200 },
  );
});

Deno.test("Images.pull() gets tokens, keeps them, and gets new ones when they end", async () => {
  await withFault({ bearer: {} }, async ({ bench, name, front }) => {
    assert.equal((await bench.pull(name)).id, IMAGE.id);
    assert.equal(front.tokensGiven, 1);
  });
  // Shorter than the margin: each request wants its own.
  await withFault({ bearer: { expiresSeconds: 1 } }, async ({ bench, name, front }) => {
    assert.equal((await bench.pull(name)).id, IMAGE.id);
    assert(front.tokensGiven >= 4, String(front.tokensGiven));
  });
  const credentials = { username: "user", password: "secret" };
  await withFault({ bearer: { credentials } }, async ({ bench, name }) => {
    await assert.rejects(() => bench.pull(name), UnauthenticatedError);
    assert.equal((await bench.pull(name, { credentials })).id, IMAGE.id);
  });
});

Deno.test("Images.pull() renews a token that ends while layers wait", async () => {
  let revoke = () => {};
  await withFault(
    {
      bearer: {},
      fault: (request) => {
        if (request.url.endsWith(IMAGE.config.digest)) revoke();
        return undefined;
      },
    },
    async ({ bench, name, front }) => {
      revoke = () => front.revoked = 1;
      assert.equal((await bench.pull(name)).id, IMAGE.id);
      assert(front.tokensGiven >= 2);
    },
  );
});

Deno.test("Images.pull() sends credentials to no other host, over redirects neither", async () => {
  const credentials = { username: "user", password: "secret" };
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await using elsewhere = new FaultyRegistry(registry);
  await withFault(
    {
      bearer: { credentials },
      fault: (request) =>
        isBlob(request) || isManifest(request)
          ? Response.redirect(`http://${elsewhere.address}${new URL(request.url).pathname}`, 307)
          : undefined,
    },
    async ({ bench, name, front }) => {
      assert.equal((await bench.pull(name, { credentials })).id, IMAGE.id);
      assert(front.authorizations.some((value) => value?.startsWith("Bearer ")));
      assert(elsewhere.requests.length >= 4);
      assert(elsewhere.authorizations.every((value) => value === null));
    },
  );
  // A mirror is another host, too.
  await using mirror = new FaultyRegistry(registry, {
    fault: () =>
      new Response("", { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }),
  });
  await using bench = await ImageBench.open({
    registriesConf: `${insecure(registry.address)}
      [[registry.mirror]]
      location = "${mirror.address}"
      insecure = true`,
  });
  assert.equal((await bench.pull(`${registry.address}/app:v1`, { credentials })).id, IMAGE.id);
  assert(mirror.requests.length > 0);
  assert(mirror.authorizations.every((value) => value === null));
});

Deno.test("Images.pull() ends on a circle of redirects", () =>
  withFault(
    (request) => isManifest(request) ? Response.redirect(request.url, 307) : undefined,
    async ({ bench, name, front }) => {
      await assert.rejects(() => bench.pull(name), FailedPreconditionError);
      assert(front.count("/manifests/") <= 6);
    },
  ));

Deno.test("identical pulls share one, and a present image costs a manifest alone", () =>
  withFault({}, async ({ bench, name, front }) => {
    const records = await Promise.all(Array.from({ length: 5 }, () => bench.pull(name)));
    assert(records.every(({ id }) => id === IMAGE.id));
    assert.equal(front.count("/manifests/"), 1);
    assert.equal(front.count("/blobs/"), 3);
    await bench.pull(name);
    assert.equal(front.count("/manifests/"), 2);
    assert.equal(front.count("/blobs/"), 3);
  }));

Deno.test("layers go on at the next endpoint when a mirror breaks off", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await using mirror = new FaultyRegistry(registry, {
    fault: (request) => isLayer(request) ? new Response("", { status: 404 }) : undefined,
  });
  await using bench = await ImageBench.open({
    registriesConf: `${insecure(registry.address)}
      [[registry.mirror]]
      location = "${mirror.address}"
      insecure = true`,
  });
  assert.equal((await bench.pull(`${registry.address}/app:v1`)).id, IMAGE.id);
  assert(mirror.count("/blobs/") >= 2);
});

Deno.test("Images.pull() trusts a registry's certificate by its folder in certs.d, and no other", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tls = await certificate(folder);
    await using registry = await startRegistry();
    await registry.push("app", "v1", IMAGE);
    await using front = new FaultyRegistry(registry, { tls });
    const name = `${front.address}/app:v1`;
    await using bench = await ImageBench.open({ certsDirectories: [`${folder}/certs.d`] });
    await assert.rejects(
      () => bench.pull(name),
      (error: unknown) =>
        error instanceof FailedPreconditionError && /certificate/i.test(error.message) &&
        error.details.remedy!.includes("certs.d"),
    );
    await Deno.mkdir(`${folder}/certs.d/${front.address}`, { recursive: true });
    await Deno.copyFile(`${folder}/ca.crt`, `${folder}/certs.d/${front.address}/ca.crt`);
    assert.equal((await bench.pull(name)).id, IMAGE.id);
    assert.equal(front.count("/blobs/"), 3);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Images.pull() speaks no plain HTTP unless the registry is insecure", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await using front = new FaultyRegistry(registry);
  await using bench = await ImageBench.open();
  await assert.rejects(() => bench.pull(`${front.address}/app:v1`), UnavailableError);
  assert.deepEqual(front.requests, []);
});

Deno.test("Images.pull() takes any certificate of an insecure registry, and resumes there, too", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tls = await certificate(folder, "DNS:other.example");
    await using registry = await startRegistry();
    await registry.push("app", "v1", IMAGE);
    let cuts = 0;
    await using front = new FaultyRegistry(registry, {
      tls,
      bearer: {},
      fault: (request) =>
        request.url.endsWith(IMAGE.layers[0]!.digest) && cuts++ === 0
          ? cutOff(IMAGE.layers[0]!.bytes, 100)
          : undefined,
    });
    const name = `${front.address}/app:v1`;
    await using verified = await ImageBench.open();
    await assert.rejects(() => verified.pull(name), /certificate/i);
    await using bench = await ImageBench.open({ registriesConf: insecure(front.address) });
    assert.equal((await bench.pull(name)).id, IMAGE.id);
    assert.deepEqual(await bench.leftovers(), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Images.pull() follows no redirect from https to plain http unless the registry is insecure", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tls = await certificate(folder);
    await using registry = await startRegistry();
    await registry.push("app", "v1", IMAGE);
    for (const where of [isManifest, isLayer]) {
      await using front = new FaultyRegistry(registry, {
        tls,
        fault: (request) =>
          where(request)
            ? Response.redirect(`http://${registry.address}${new URL(request.url).pathname}`, 307)
            : undefined,
      });
      const name = `${front.address}/app:v1`;
      const certs = `${folder}/certs.d/${front.address}`;
      await Deno.mkdir(certs, { recursive: true });
      await Deno.copyFile(`${folder}/ca.crt`, `${certs}/ca.crt`);
      await using bench = await ImageBench.open({ certsDirectories: [`${folder}/certs.d`] });
      await assert.rejects(
        () => bench.pull(name),
        (error: unknown) =>
          error instanceof FailedPreconditionError &&
          /from https to plain http/.test(error.message),
      );
      await using open = await ImageBench.open({ registriesConf: insecure(front.address) });
      assert.equal((await open.pull(name)).id, IMAGE.id);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Images.pull() shows a registry the client certificate of its folder, and htpasswd credentials", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tls = await certificate(folder);
    const credentials = { username: "ann", password: "p:1" };
    await using registry = await startRegistry({
      credentials,
      tls: { ...tls, caFile: `${folder}/ca.crt` },
    });
    const name = `${registry.address}/app:v1`;
    const certs = `${folder}/certs.d/${registry.address}`;
    await Deno.mkdir(certs, { recursive: true });
    await Deno.copyFile(`${folder}/ca.crt`, `${certs}/ca.crt`);
    const client = {
      cert: tls.cert,
      key: tls.key,
      caCert: await Deno.readTextFile(`${folder}/ca.crt`),
    };
    await registry.push("app", "v1", IMAGE, client);
    await using bench = await ImageBench.open({ certsDirectories: [`${folder}/certs.d`] });
    await assert.rejects(
      () => bench.pull(name, { credentials }),
      (error: unknown) =>
        error instanceof FailedPreconditionError && error.details.remedy!.includes("*.cert"),
    );
    // From the next pull on.
    await Deno.writeTextFile(`${certs}/node.cert`, tls.cert);
    await Deno.writeTextFile(`${certs}/node.key`, tls.key);
    await assert.rejects(() => bench.pull(name), UnauthenticatedError);
    assert.equal((await bench.pull(name, { credentials })).id, IMAGE.id);
    // Half of a pair keeps what was there before, and so does what is no key.
    await bench.images.remove(IMAGE.id);
    await Deno.remove(`${certs}/node.key`);
    assert.equal((await bench.pull(name, { credentials })).id, IMAGE.id);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Images.pull() shows no signature of an address that a registry redirects to, nor logs it", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dead = `127.0.0.1:${listener.addr.port}`;
  listener.close();
  const secret = "hunter2";
  const location = `http://${dead}/${secret}?X-Amz-Signature=${secret}`;
  for (const where of [isManifest, isLayer]) {
    const lines: string[] = [];
    const log = createLogger({
      level: "trace",
      format: "text",
      sink: { write: (line) => void lines.push(line) },
    });
    await withFault(
      (request) => where(request) ? Response.redirect(location) : undefined,
      async ({ bench, name }) => {
        await assert.rejects(() => bench.pull(name), (error: Error) => {
          log.error("A request failed", { error });
          assert.match(error.message, /[Cc]onnection refused/);
          assert(error.message.includes(dead), error.message);
          for (let at: unknown = error; at instanceof Error; at = at.cause) {
            assert(!`${at.message} ${at.stack}`.includes(secret), at.message);
          }
          return true;
        });
      },
      { log },
    );
    assert(lines.some((line) => line.includes("refused")), lines.join(""));
    assert(!lines.join("").includes(secret), lines.join(""));
  }
});

Deno.test("Images.pull() goes on at the registry where a mirror stands still, and asks for the rest", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  const layer = IMAGE.layers[0]!;
  const part = layer.bytes.length >> 1;
  await using mirror = new FaultyRegistry(registry, {
    fault: (request) => request.url.endsWith(layer.digest) ? stuck(layer.bytes, part) : undefined,
  });
  await using front = new FaultyRegistry(registry);
  await using bench = await ImageBench.open({
    registriesConf: `${insecure(front.address)}
      [[registry.mirror]]
      location = "${mirror.address}"
      insecure = true`,
    // Only the mirror's silence may last so long, however busy the machine is.
    pullProgressTimeoutMs: 10_000,
  });
  assert.equal((await bench.pull(`${front.address}/app:v1`)).id, IMAGE.id);
  assert.equal(front.count(layer.digest), 1);
  // Exact counts of bytes are for blob_download_test.ts, which decides what a client has read.
  const [asked] = front.ranges.filter(([path]) => path.endsWith(layer.digest));
  assert.match(asked![1], /^bytes=[1-9]\d*-$/);
});

Deno.test("Images.pull() fails where no endpoint is left that moves, and says for how long it waited", async () => {
  const image = buildImage({ layers: [[{ path: "one", content: "1".repeat(100_000) }]] });
  const layer = image.layers[0]!;
  await withFault(
    (request) => request.url.endsWith(layer.digest) ? stuck(layer.bytes, 10) : undefined,
    async ({ bench, name, front }) => {
      await assert.rejects(
        () => bench.pull(name),
        (error: unknown) =>
          error instanceof UnavailableError && /stalled.* in 3 s/.test(error.message) &&
          error.message.includes(front.address) &&
          error.details.remedy!.includes("pull_progress_timeout"),
      );
      assert.equal(front.count(layer.digest), 1);
    },
    // Its only layer, so that nothing else can be too slow for this.
    { image, pullProgressTimeoutMs: 3_000 },
  );
});

Deno.test("changed files count from the next pull on, and a wrong one keeps what it said before", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  const policyFile = await Deno.makeTempFile();
  const accept = '{"default":[{"type":"insecureAcceptAnything"}]}';
  try {
    await Deno.writeTextFile(policyFile, accept);
    await using bench = await ImageBench.open({
      registriesConf: insecure(registry.address),
      policy: () => loadPolicy(policyFile),
    });
    const conf = `${bench.directory}/registries.conf`;
    const name = `${registry.address}/app:v1`;
    const pulls = () => bench.pull(name).then(({ id }) => id);
    assert.equal(await pulls(), IMAGE.id);
    assert.deepEqual(await bench.images.checkFiles(), []);

    await Deno.writeTextFile(conf, "[[registry]\n");
    assert.equal(await pulls(), IMAGE.id);
    const [problem, ...others] = await bench.images.checkFiles();
    assert.match(problem!, /registries\.conf is wrong/);
    assert.deepEqual(others, []);
    await Deno.writeTextFile(
      conf,
      `[[registry]]\nlocation = "${registry.address}"\nblocked = true`,
    );
    await assert.rejects(pulls, /is blocked/);
    await Deno.writeTextFile(conf, insecure(registry.address));
    assert.equal(await pulls(), IMAGE.id);

    await Deno.writeTextFile(policyFile, '{"default":');
    assert.equal(await pulls(), IMAGE.id);
    assert.match((await bench.images.checkFiles())[0]!, /signature policy/);
    await Deno.writeTextFile(policyFile, '{"default":[{"type":"reject"}]}');
    await assert.rejects(pulls, PermissionDeniedError);
    // What is right but not built is never skipped.
    await Deno.writeTextFile(policyFile, '{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}');
    await assert.rejects(pulls, UnimplementedError);
    await Deno.writeTextFile(policyFile, accept);
    assert.equal(await pulls(), IMAGE.id);
  } finally {
    await Deno.remove(policyFile);
  }
});

/** A CA in `ca.crt`, and a server certificate for 127.0.0.1 that it signed. */
async function certificate(
  folder: string,
  subject = "IP:127.0.0.1",
): Promise<{ cert: string; key: string }> {
  const openssl = async (...args: string[]) => {
    const done = await new Deno.Command("openssl", { args, cwd: folder, stderr: "piped" }).output();
    assert(done.success, new TextDecoder().decode(done.stderr));
  };
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca");
  await openssl("req", ...ec.slice(0, 5), "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=s");
  await Deno.writeTextFile(`${folder}/ext`, `subjectAltName=${subject}\n`);
  await openssl(
    ...["x509", "-req", "-in", "s.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-out", "s.crt", "-days", "2", "-extfile", "ext"],
  );
  return {
    cert: await Deno.readTextFile(`${folder}/s.crt`),
    key: await Deno.readTextFile(`${folder}/s.key`),
  };
}
