/**
 * Who is asked for what, in which order and with which credential: references against configurations.
 * All registries speak plain HTTP on the loopback interface; `A`, `B` and `C` stand for their addresses.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { PullRequest } from "../../src/image/mod.ts";
import { CredentialHelpers } from "../../src/image/mod.ts";
import { NodeProcessRunner } from "../../src/sys/mod.ts";
import { type Behaviour, FakeRegistry } from "../support/fake_registry.ts";
import { ImageBench } from "./image_bench.ts";
import { buildImage } from "./test_images.ts";

const IMAGE = buildImage({ layers: [[{ path: "one", content: "1".repeat(5000) }]] });
const DIGEST = IMAGE.manifest.digest;
const HOLE = "127.0.0.1:9";

interface Case {
  readonly name: string;
  readonly reference: string;
  /** registries.conf; A, B and C are written `@A`, and are insecure unless `secure`. */
  readonly conf?: string;
  readonly secure?: boolean;
  /** auth.json: key to `user:password`. */
  readonly auths?: Readonly<Record<string, string>>;
  readonly request?: Partial<PullRequest>;
  readonly behaviours?: Readonly<Record<string, Behaviour>>;
  readonly requests: readonly string[];
  /** The pull fails with this. */
  readonly fails?: RegExp;
}

const user = (text: string) => {
  const [username, password] = text.split(":");
  return { credentials: { username: username!, password: password! } };
};
/** What a whole pull asks of a registry, from the first contact on. */
const all = (label: string, repository: string, selected: string, who = "nobody") => [
  ...start(label),
  ...documents(label, repository, selected, who),
  `${label} /v2/${repository}/blobs/<layer> ${who}`,
];
const start = (label: string) => [`${label} tls`, `${label} /v2/ nobody`];
const documents = (label: string, repository: string, selected: string, who = "nobody") => [
  `${label} /v2/${repository}/manifests/${selected} ${who}`,
  `${label} /v2/${repository}/blobs/<config> ${who}`,
];
const token = (label: string, repository: string, who = "nobody") =>
  `${label} /token?service=test&scope=repository:${repository}:pull ${who}`;
const withToken = (label: string, repository: string, selected: string, who = "nobody") => {
  const [tls, ping, ...rest] = all(label, repository, selected, "token-1");
  return [tls!, ping!, token(label, repository, who), ...rest];
};
const mirrored = (keys = "", mirrorKeys = "") =>
  `[[registry]]\nprefix = "shop.example"\nlocation = "@A/shop"\ninsecure = true\n${keys}\n` +
  `[[registry.mirror]]\nlocation = "@B/cache"\ninsecure = true\n${mirrorKeys}\n`;
const NOT_FOUND = { status: 404, body: '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}' };
const BASIC = { auth: "basic", user: "ann:1" } as const;

const CASES: readonly Case[] = [
  { name: "a tag", reference: "@A/app:v1", requests: all("A", "app", "v1") },
  { name: "no tag", reference: "@A/app", requests: all("A", "app", "latest") },
  {
    name: "a digest, and the tag beside it dropped",
    reference: `@A/deep/er/app:v1@${DIGEST}`,
    requests: all("A", "deep/er/app", "<manifest>"),
  },
  {
    name: "a registry that is not insecure is never spoken to in the clear",
    reference: "@A/app:v1",
    secure: true,
    requests: ["A tls", "A tls", "A tls"],
    fails: /https:\/\/127/,
  },
  {
    name: "basic credentials of the request",
    reference: "@A/app:v1",
    request: user("ann:1"),
    behaviours: { A: BASIC },
    requests: all("A", "app", "v1", "ann:1"),
  },
  {
    name: "credentials go only to who asks for them",
    reference: "@A/app:v1",
    request: user("ann:1"),
    requests: all("A", "app", "v1"),
  },
  {
    name: "wrong credentials are not tried twice",
    reference: "@A/app:v1",
    request: user("ann:wrong"),
    behaviours: { A: BASIC },
    requests: [...start("A"), "A /v2/app/manifests/v1 ann:wrong"],
    fails: /answered 401/,
  },
  {
    name: "credentials of the file by host",
    reference: "@A/app:v1",
    auths: { "@A": "ann:1", "@B": "bob:2" },
    behaviours: { A: BASIC },
    requests: all("A", "app", "v1", "ann:1"),
  },
  {
    name: "credentials of the file by the longest key",
    reference: "@A/team/app:v1",
    auths: { "@A": "host:0", "@A/team": "ann:1", "@A/teams": "teams:3", "@A/team/app2": "no:4" },
    behaviours: { A: BASIC },
    requests: all("A", "team/app", "v1", "ann:1"),
  },
  {
    name: "credentials of the request go before those of the file",
    reference: "@A/app:v1",
    auths: { "@A": "file:0" },
    request: user("ann:1"),
    behaviours: { A: BASIC },
    requests: all("A", "app", "v1", "ann:1"),
  },
  {
    name: "a token for nobody",
    reference: "@A/app:v1",
    behaviours: { A: { auth: "bearer" } },
    requests: withToken("A", "app", "v1"),
  },
  {
    name: "a token for the request's credentials, which only its service sees",
    reference: "@A/team/app:v1",
    request: user("ann:1"),
    behaviours: { A: { auth: "bearer", user: "ann:1" } },
    requests: withToken("A", "team/app", "v1", "ann:1"),
  },
  {
    name: "an identity token is given to the token service by POST",
    reference: "@A/app:v1",
    request: { credentials: { identityToken: "refresh" } },
    behaviours: { A: { auth: "bearer", refreshToken: "refresh" } },
    requests: [
      ...start("A"),
      "A POST /token grant_type=refresh_token&refresh_token=refresh&service=test&" +
      "scope=repository:app:pull&client_id=sauropod nobody",
      ...all("A", "app", "v1", "token-1").slice(2),
    ],
  },
  {
    name: "a registry token is sent as it is",
    reference: "@A/app:v1",
    request: { credentials: { registryToken: "given" } },
    behaviours: { A: { auth: "bearer" } },
    requests: all("A", "app", "v1", "given"),
  },
  {
    name: "credentials for another server stay here",
    reference: "@A/app:v1",
    request: { ...user("ann:1"), credentialsServer: "https://other.example/v1/" },
    behaviours: { A: BASIC },
    requests: [...start("A"), "A /v2/app/manifests/v1 nobody"],
    fails: /answered 401/,
  },
  {
    name: "credentials for the server that is asked are used",
    reference: "@A/app:v1",
    request: { ...user("ann:1"), credentialsServer: "http://@A/v2/" },
    behaviours: { A: BASIC },
    requests: all("A", "app", "v1", "ann:1"),
  },
  {
    name: "a token that ends early is renewed once",
    reference: "@A/app:v1",
    behaviours: {
      A: {
        auth: "bearer",
        first: {
          layer: [{
            status: 401,
            headers: { "www-authenticate": `Bearer realm="http://x/",service="test"` },
          }],
        },
      },
    },
    requests: [
      ...withToken("A", "app", "v1"),
      token("A", "app"),
      "A /v2/app/blobs/<layer> token-2",
    ],
  },
  {
    name: "a location takes the prefix's place",
    reference: "shop.example/team/app:v1",
    conf: `[[registry]]\nprefix = "shop.example/team"\nlocation = "@A/x"\ninsecure = true`,
    requests: all("A", "x/app", "v1"),
  },
  {
    name: "the longest prefix counts",
    reference: "shop.example/team/app:v1",
    conf: `[[registry]]\nprefix = "shop.example"\nlocation = "@B"\ninsecure = true\n` +
      `[[registry]]\nprefix = "shop.example/team"\nlocation = "@A"\ninsecure = true\n` +
      `[[registry]]\nprefix = "shop.example/tea"\nlocation = "@C"\ninsecure = true`,
    requests: all("A", "app", "v1"),
  },
  {
    name: "a wildcard covers all hosts below it",
    reference: "a.b.shop.example/app:v1",
    conf: `[[registry]]\nprefix = "*.shop.example"\nlocation = "@A/w"\ninsecure = true`,
    requests: all("A", "w/app", "v1"),
  },
  {
    name: "an entry for one tag, at a place with another",
    reference: "shop.example/app:v1",
    conf: `[[registry]]\nprefix = "shop.example/app:v1"\nlocation = "@A/pin/app:good"\n` +
      `insecure = true`,
    requests: all("A", "pin/app", "good"),
  },
  {
    name: "a mirror that has the image is asked alone",
    reference: "shop.example/app:v1",
    conf: mirrored(),
    requests: all("B", "cache/app", "v1"),
  },
  {
    name: "a mirror without the image, then the registry",
    reference: "shop.example/app:v1",
    conf: mirrored(),
    behaviours: { B: { always: { manifest: NOT_FOUND } } },
    requests: [
      ...start("B"),
      "B /v2/cache/app/manifests/v1 nobody",
      ...all("A", "shop/app", "v1"),
    ],
  },
  {
    name: "a mirror without one layer, then the registry for that",
    reference: "shop.example/app:v1",
    conf: mirrored(),
    behaviours: { B: { always: { layer: NOT_FOUND } } },
    requests: [
      ...all("B", "cache/app", "v1"),
      ...start("A"),
      "A /v2/shop/app/blobs/<layer> nobody",
    ],
  },
  {
    name: "a mirror that is broken is tried again, then the registry is asked",
    reference: "shop.example/app:v1",
    conf: mirrored(),
    behaviours: { B: { always: { manifest: { status: 500 } } } },
    requests: [
      ...start("B"),
      ...Array(3).fill("B /v2/cache/app/manifests/v1 nobody"),
      ...all("A", "shop/app", "v1"),
    ],
  },
  {
    name: "a mirror that nobody listens at, then the next, then the registry",
    reference: "shop.example/app:v1",
    conf: `[[registry]]\nprefix = "shop.example"\nlocation = "@A"\ninsecure = true\n` +
      `[[registry.mirror]]\nlocation = "${HOLE}"\ninsecure = true\n` +
      `[[registry.mirror]]\nlocation = "@C"\ninsecure = true`,
    behaviours: { C: { always: { manifest: NOT_FOUND } } },
    requests: [...start("C"), "C /v2/app/manifests/v1 nobody", ...all("A", "app", "v1")],
  },
  {
    name: "a digest-only mirror and a tag",
    reference: "shop.example/app:v1",
    conf: mirrored("", `pull-from-mirror = "digest-only"`),
    requests: all("A", "shop/app", "v1"),
  },
  {
    name: "a digest-only mirror and a digest",
    reference: `shop.example/app@${DIGEST}`,
    conf: mirrored("", `pull-from-mirror = "digest-only"`),
    requests: all("B", "cache/app", "<manifest>"),
  },
  {
    name: "a tag-only mirror and a digest",
    reference: `shop.example/app@${DIGEST}`,
    conf: mirrored("", `pull-from-mirror = "tag-only"`),
    requests: all("A", "shop/app", "<manifest>"),
  },
  {
    name: "mirror-by-digest-only and a tag",
    reference: "shop.example/app:v1",
    conf: mirrored("mirror-by-digest-only = true"),
    requests: all("A", "shop/app", "v1"),
  },
  {
    name: "a mirror gets its own credentials of the file, never those of the request",
    reference: "@A/app:v1",
    conf: `[[registry]]\nlocation = "@A"\ninsecure = true\n` +
      `[[registry.mirror]]\nlocation = "@B/cache"\ninsecure = true`,
    auths: { "@B/cache": "bob:2" },
    request: user("ann:1"),
    behaviours: {
      A: BASIC,
      B: { auth: "basic", user: "bob:2", always: { manifest: NOT_FOUND } },
    },
    requests: [
      ...start("B"),
      "B /v2/cache/app/manifests/v1 bob:2",
      ...all("A", "app", "v1", "ann:1"),
    ],
  },
  {
    name: "the registry behind a location gets the file's credentials of the location",
    reference: "shop.example/app:v1",
    conf: `[[registry]]\nprefix = "shop.example"\nlocation = "@A"\ninsecure = true`,
    auths: { "shop.example": "wrong:0", "@A": "ann:1" },
    request: user("ann:9"),
    behaviours: { A: BASIC },
    requests: all("A", "app", "v1", "ann:1"),
  },
  {
    name: "a blocked registry is not asked, nor are its mirrors",
    reference: "shop.example/app:v1",
    conf: mirrored("blocked = true"),
    requests: [],
    fails: /shop\.example.*is blocked in .*registries\.conf/,
  },
  {
    name: "a short name by its alias",
    reference: "nick:v1",
    conf: `unqualified-search-registries = ["@B"]\n[aliases]\nnick = "@A/team/app"`,
    requests: all("A", "team/app", "v1"),
  },
  {
    name: "a short name by the search list, the next registry where the first has nothing",
    reference: "team/app:v1",
    conf: `unqualified-search-registries = ["@B", "@A"]\nshort-name-mode = "permissive"`,
    behaviours: { B: { always: { manifest: NOT_FOUND } } },
    requests: [...start("B"), "B /v2/team/app/manifests/v1 nobody", ...all("A", "team/app", "v1")],
  },
  {
    name: "a short name is not looked for elsewhere while its registry is broken",
    reference: "app:v1",
    conf: `unqualified-search-registries = ["@B", "@A"]\nshort-name-mode = "disabled"`,
    behaviours: { B: { always: { ping: { status: 400 } } } },
    requests: start("B"),
    fails: /answered 400/,
  },
  {
    name: "a short name that fits two registries, enforced",
    reference: "app:v1",
    conf: `unqualified-search-registries = ["@B", "@A"]\nshort-name-mode = "enforcing"`,
    requests: [],
    fails: /may be .*app:v1, .*app:v1, and short names are enforced/,
  },
  {
    name: "a redirect of a layer to another host carries no secret",
    reference: "@A/app:v1",
    request: user("ann:1"),
    behaviours: {
      A: {
        ...BASIC,
        always: {
          layer: { status: 307, headers: { location: "http://@B/v2/x/blobs/away?sig=1" } },
        },
      },
    },
    requests: [...all("A", "app", "v1", "ann:1"), "B /v2/x/blobs/away?sig=1 nobody"],
  },
  {
    name: "a registry that is busy is asked again when it says",
    reference: "@A/app:v1",
    behaviours: {
      A: { first: { manifest: [{ status: 429, headers: { "retry-after": "0" } }] } },
    },
    requests: [...start("A"), "A /v2/app/manifests/v1 nobody", ...all("A", "app", "v1").slice(2)],
  },
  {
    name:
      "a registry that is busy for long is not waited for, and the mirror's failure is told, too",
    reference: "shop.example/app:v1",
    conf: mirrored(),
    behaviours: {
      A: { always: { manifest: { status: 429, headers: { "retry-after": "3600" } } } },
      B: { always: { manifest: NOT_FOUND } },
    },
    requests: [
      ...start("B"),
      "B /v2/cache/app/manifests/v1 nobody",
      ...start("A"),
      "A /v2/shop/app/manifests/v1 nobody",
    ],
    fails: /2 endpoints failed: mirror \S+\/cache\/app: .* 404 .*; registry \S+\/shop\/app: .* 429/,
  },
  {
    name: "a credential helper of the registries file, before the auth file",
    reference: "@A/app:v1",
    conf: `credential-helpers = ["test", "containers-auth.json"]\n` +
      `[[registry]]\nlocation = "@A"\ninsecure = true`,
    auths: { "@A": "file:0" },
    behaviours: { A: { auth: "basic", user: "helper-of-@A" } },
    requests: all("A", "app", "v1", "helper-of-@A"),
  },
];

Deno.test("pulls ask the registries that the files name, in order, with the right credential", async (t) => {
  const log: string[] = [];
  await using a = new FakeRegistry("A", IMAGE, log);
  await using b = new FakeRegistry("B", IMAGE, log);
  await using c = new FakeRegistry("C", IMAGE, log);
  const registries: Readonly<Record<string, FakeRegistry>> = { A: a, B: b, C: c };
  const named = <T>(value: T): T =>
    JSON.parse(
      JSON.stringify(value).replaceAll(/@([ABC])/g, (_, label) => registries[label]!.address),
    );
  const helpers = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${helpers}/docker-credential-test`,
    `#!/bin/sh\nread -r server || true\n` +
      `printf '{"Username":"helper-of-%s","Secret":"%s"}' "\${server%%:*}" "\${server##*:}"\n`,
  );
  await Deno.chmod(`${helpers}/docker-credential-test`, 0o755);
  const directory = await Deno.makeTempDir({ prefix: "images-" });
  const authFile = `${directory}/auth.json`;
  await using bench = await ImageBench.open({
    directory,
    authFile,
    credentialHelpers: new CredentialHelpers({
      runner: new NodeProcessRunner(),
      env: { PATH: `${helpers}:/usr/bin:/bin` },
    }),
  });
  // One store for all: each case's files count from its pull on.
  for (const one of CASES) {
    await t.step(one.name, async () => {
      const insecure = one.secure === true
        ? ""
        : ["A", "B", "C"].filter((label) => !one.conf?.includes(`location = "@${label}"\n`))
          .map((label) => `\n[[registry]]\nlocation = "@${label}"\ninsecure = true\n`).join("");
      const conf = one.conf ?? "";
      const aliases = conf.indexOf("[aliases]");
      await Deno.writeTextFile(
        `${directory}/registries.conf`,
        named({
          text: aliases < 0
            ? `${conf}\n${insecure}`
            : `${conf.slice(0, aliases)}\n${insecure}\n${conf.slice(aliases)}`,
        }).text,
      );
      const auths = Object.entries(named(one.auths ?? {}))
        .map(([key, value]) => [key, { auth: btoa(value) }]);
      await Deno.writeTextFile(authFile, JSON.stringify({ auths: Object.fromEntries(auths) }));
      for (const [label, registry] of Object.entries(registries)) {
        registry.behave(named(one.behaviours?.[label] ?? {}));
      }
      log.splice(0);
      const pulled = bench.pull(named(one.reference), named(one.request ?? {}));
      if (one.fails === undefined) assert.equal((await pulled).id, IMAGE.id);
      else await assert.rejects(pulled, one.fails);
      assert.deepEqual(log, named(one.requests));
      await bench.images.remove(IMAGE.id);
      assert.deepEqual(await bench.leftovers(), []);
    });
  }
  await Deno.remove(helpers, { recursive: true });
});

Deno.test("credentials left for one pull of a namespace are used by that pull, and gone", async () => {
  const log: string[] = [];
  await using registry = new FakeRegistry("A", IMAGE, log);
  registry.behave(BASIC);
  const left = await Deno.makeTempDir();
  try {
    await using bench = await ImageBench.open({
      namespacedAuthDirectory: left,
      registriesConf: `[[registry]]\nlocation = "${registry.address}"\ninsecure = true`,
    });
    const name = `${registry.address}/team/app:v1`;
    const hash = createHash("sha256").update(`${registry.address}/team/app`).digest("hex");
    const write = () =>
      Deno.writeTextFile(
        `${left}/red-${hash}.json`,
        JSON.stringify({ auths: { [registry.address]: { auth: btoa("ann:1") } } }),
      );
    await write();
    await assert.rejects(() => bench.pull(name, { namespace: "blue" }), /answered 401/);
    await assert.rejects(() => bench.pull(name), /answered 401/);
    assert.equal((await bench.pull(name, { namespace: "red" })).id, IMAGE.id);
    assert.deepEqual([...Deno.readDirSync(`${left}/in-use`)], []);
    await assert.rejects(() => bench.pull(name, { namespace: "red" }), /answered 401/);
    // A pull that fails uses them up as well.
    registry.behave({ ...BASIC, user: "changed:2" });
    await write();
    await assert.rejects(() => bench.pull(name, { namespace: "red" }), /answered 401/);
    assert.deepEqual([...Deno.readDirSync(left)].map(({ name }) => name), ["in-use"]);
  } finally {
    await Deno.remove(left, { recursive: true });
  }
});
