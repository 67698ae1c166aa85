import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { LinuxContainerSecurityContext, SupplementalGroupsPolicy } from "../proto/mod.ts";
import { completedGroup, completedPasswd } from "./passwd_entry.ts";
import { parsePasswd, type ResolvedUser, resolveUser, userRequest } from "./user.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const PASSWD = bytes(
  "root:x:0:0:root:/root:/bin/sh\nweb:x:100:200:Web:/srv:/bin/false\n42:x:0:0::/:/bin/sh\n0x0:x:0:0::/:\n-1:x:0:0::/:\n+0:x:0:0::/:\nbig:x:4294967296:0::/:\nnobody:x:65534:65534::/:/bin/false",
);
const GROUP = bytes("root:x:0:root\nwww:x:200:\nlogs:x:300:web,root\naudio:x:63:web\n99:x:0:\n");

interface Case {
  readonly context?: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0];
  readonly image?: string;
  readonly expected: readonly [uid: number, gid: number, groups: readonly number[]] | RegExp;
}

const id = (value: bigint) => ({ value });

const cases: Record<string, Case> = {
  "nothing": { expected: [0, 0, [0, 300]] },
  "an image's name": { image: "web", expected: [100, 200, [200, 300, 63]] },
  "an image's uid with an entry": { image: "100", expected: [100, 200, [200, 300, 63]] },
  "an image's uid without an entry": { image: "1234", expected: [1234, 0, [0]] },
  "an image's uid and gid": { image: "1234:5678", expected: [1234, 5678, [5678]] },
  "an image's name and group": { image: "web:logs", expected: [100, 300, [300, 63]] },
  "an image's group alone": { image: ":logs", expected: [0, 300, [300, 0]] },
  "an image's user with an empty group": { image: "web:", expected: [100, 200, [200, 300, 63]] },
  "a requested uid against the image's user": {
    context: { runAsUser: id(1000n) },
    image: "web:logs",
    expected: [1000, 0, [0]],
  },
  "a requested uid and gid": {
    context: { runAsUser: id(100n), runAsGroup: id(7n) },
    expected: [100, 7, [7, 300, 63]],
  },
  "a requested name": {
    context: { runAsUsername: "web" },
    image: "root",
    expected: [100, 200, [200, 300, 63]],
  },
  "a requested name that is a number": {
    context: { runAsUsername: "42" },
    expected: [42, 0, [0]],
  },
  "an image's name of digits, which is a number and not the root it names": {
    image: "42",
    expected: [42, 0, [0]],
  },
  "an image's group of digits": { image: "web:99", expected: [100, 99, [99, 300, 63]] },
  "supplemental groups, merged": {
    context: { supplementalGroups: [1000n, 300n, 1000n] },
    image: "web",
    expected: [100, 200, [200, 1000, 300, 63]],
  },
  "supplemental groups, strict": {
    context: {
      supplementalGroups: [1000n],
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    },
    image: "web",
    expected: [100, 200, [200, 1000]],
  },
  "the largest id": {
    image: "2147483647:2147483647",
    expected: [2147483647, 2147483647, [2147483647]],
  },

  "a group without a user": { context: { runAsGroup: id(5n) }, expected: /run_as_group/ },
  "a negative uid": { context: { runAsUser: id(-1n) }, expected: /run_as_user/ },
  "a uid of 2^31": { context: { runAsUser: id(2147483648n) }, expected: /run_as_user/ },
  "a uid of 2^32, which would wrap to root": {
    context: { runAsUser: id(4294967296n) },
    expected: /run_as_user/,
  },
  "a gid of 2^32": {
    context: { runAsUser: id(1n), runAsGroup: id(1n << 32n) },
    expected: /run_as_group/,
  },
  "a supplemental group of -1": {
    context: { supplementalGroups: [-1n] },
    expected: /supplemental/,
  },
  "a supplemental group of 2^32": {
    context: { supplementalGroups: [1n << 32n] },
    expected: /supplemental/,
  },
  "an image's 2147483648": { image: "2147483648:0", expected: /image\.user/ },
  "an image's 4294967296": { image: "4294967296", expected: /image\.user/ },
  "an image's 18446744073709551616": { image: "18446744073709551616", expected: /image\.user/ },
  "an image's thousand digits": { image: "9".repeat(1000), expected: /image\.user/ },
  "an image's -1": { image: "-1", expected: /image\.user/ },
  "an image's +0": { image: "+0", expected: /image\.user/ },
  "an image's 0x0": { image: "0x0", expected: /image\.user/ },
  "an image's gid of 0x0": { image: "1:0x0", expected: /image\.user/ },
  "an image's gid of 2^32": { image: "1:4294967296", expected: /image\.user/ },
  "an image's three parts": { image: "1:2:3", expected: /image\.user/ },
  "an image's blank": { image: " 0", expected: /image\.user/ },
  "an image's line feed": { image: "web\nroot", expected: /image\.user/ },
  "an image's NUL": { image: "web\0", expected: /image\.user/ },
  "a name that nobody has": { image: "ghost", expected: /image\.user/ },
  "a requested name that nobody has": {
    context: { runAsUsername: "ghost" },
    expected: /run_as_username/,
  },
  "a group that nobody has": { image: "web:ghosts", expected: /image\.user/ },
  "a name whose entry has an id that wraps": { image: "big", expected: /image\.user/ },
  "a name that an object inherits": { image: "constructor", expected: /image\.user/ },
};

for (const [what, { context, image = "", expected }] of Object.entries(cases)) {
  Deno.test(`the user of ${what}`, () => {
    const request = userRequest(LinuxContainerSecurityContext.fromPartial(context ?? {}));
    const resolve = () => resolveUser(request, image, PASSWD, GROUP);
    if (expected instanceof RegExp) {
      assert.throws(resolve, (error: InvalidArgumentError) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.match(error.details.field ?? "", expected);
        return true;
      });
      return;
    }
    const { uid, gid, additionalGids } = resolve();
    assert.deepEqual([uid, gid, additionalGids], expected);
  });
}

Deno.test("an image without the files has numbers, but no names", () => {
  const request = userRequest(undefined);
  assert.equal(resolveUser(request, "7:8", undefined, undefined).uid, 7);
  assert.throws(() => resolveUser(request, "web", undefined, undefined), InvalidArgumentError);
});

Deno.test("files that are no text are read without an error", () => {
  const garbage = crypto.getRandomValues(new Uint8Array(65536));
  assert.equal(resolveUser(userRequest(undefined), "5", garbage, garbage).uid, 5);
  const endless = new Uint8Array(1024 * 1024).fill("x".charCodeAt(0));
  assert.equal(resolveUser(userRequest(undefined), "5", endless, endless).uid, 5);
});

const user = (uid: number, gid = uid): ResolvedUser => ({ uid, gid, additionalGids: [gid] });
const decode = (file: Uint8Array | undefined) =>
  file === undefined ? undefined : new TextDecoder().decode(file);

Deno.test("a user that the files do not know gets a line, after a missing line feed, too", () => {
  const passwd = decode(completedPasswd(PASSWD, user(1234, 5678), "/srv"));
  assert.ok(passwd?.endsWith("/bin/false\n1234:x:1234:5678:1234 user:/srv:/sbin/nologin\n"));
  assert.ok(decode(completedGroup(GROUP, user(1234, 5678)))?.endsWith("\n5678:x:5678:\n"));
  assert.equal(completedPasswd(PASSWD, user(100), "/"), undefined);
  assert.equal(completedGroup(GROUP, user(5, 200)), undefined);
  assert.equal(completedPasswd(undefined, user(1), "/"), undefined);
  assert.equal(completedGroup(undefined, user(1)), undefined);
  assert.equal(decode(completedGroup(bytes(""), user(1))), "1:x:1:\n");
});

for (
  const home of ["/a\nroot2::0:0::/:/bin/sh", "/a:/bin/sh", "/a\r\nx", "/a\0b", "relative", ""]
) {
  Deno.test(`the home ${JSON.stringify(home)} forges no entry`, () => {
    const before = parsePasswd(PASSWD).length;
    const file = completedPasswd(PASSWD, user(1234), home);
    const entries = parsePasswd(file);
    assert.equal(entries.length, before + 1);
    assert.deepEqual(entries.at(-1), { name: "1234", uid: 1234, gid: 1234, home: "/" });
  });
}
