import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { isRepositoryPrefix, parseImageName, parseReference } from "./reference.ts";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}`;

Deno.test("parseReference() completes and normalises names", () => {
  const table: readonly [string, string][] = [
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["docker://quay.io/a/b", "quay.io/a/b:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["Registry.Example/app", "Registry.Example/app:latest"],
    ["UPPER/app", "UPPER/app:latest"],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`quay.io/a/b:v1@${DIGEST}`, `quay.io/a/b@${DIGEST}`],
    ["quay.io/a/b__c-d.e---f:_T.a-g", "quay.io/a/b__c-d.e---f:_T.a-g"],
    [`quay.io/a:${"t".repeat(128)}`, `quay.io/a:${"t".repeat(128)}`],
    [`quay.io/${"a".repeat(247)}`, `quay.io/${"a".repeat(247)}:latest`],
  ];
  for (const [text, expected] of table) assert.equal(String(parseReference(text)), expected);
});

Deno.test("parseReference() refuses what is not a reference, naming the field", () => {
  const table = [
    "",
    "docker://",
    "Busybox",
    "quay.io/Busybox",
    "quay.io/",
    "quay.io//a",
    "/a",
    "a/",
    "a:",
    "a:-x",
    "a:b:c",
    "a@sha256:12",
    `a@md5:${HEX}`,
    `a@${DIGEST}@${DIGEST}`,
    `a@${DIGEST.toUpperCase()}`,
    HEX,
    "a..b",
    "a___b",
    "-a",
    "a-",
    "a b",
    "a\nb",
    "a\0b",
    "../../etc/passwd",
    "quay.io/../a",
    "quay.io:/a",
    "quay.io:123456/a",
    "-quay.io/a",
    "https://quay.io/a",
    `quay.io/a:${"t".repeat(129)}`,
    `quay.io/${"a".repeat(248)}`,
    "a".repeat(1 << 20),
  ];
  for (const text of table) {
    assert.throws(
      () => parseReference(text, "image.image"),
      (error: unknown) =>
        error instanceof InvalidArgumentError && error.details.field === "image.image" &&
        error.message.length < 512,
      text.slice(0, 60),
    );
  }
});

Deno.test("parseImageName() tells short names from qualified ones", () => {
  assert.equal(parseImageName("busybox").kind, "short");
  assert.equal(parseImageName("a/b/c").kind, "short");
  assert.equal(parseImageName("localhost/a").kind, "qualified");
  assert.equal(parseImageName("a.b/c").kind, "qualified");
});

Deno.test("isRepositoryPrefix() accepts hosts and namespaces only", () => {
  for (const text of ["quay.io", "quay.io:443", "quay.io/a/b"]) assert(isRepositoryPrefix(text));
  for (const text of ["", "quay.io/", "quay.io/A", "https://quay.io", "a b"]) {
    assert(!isRepositoryPrefix(text), text);
  }
});

Deno.test("what parseReference() accepts, it accepts again unchanged (fuzz)", () => {
  const alphabet = [
    "a",
    "b0",
    "/",
    ":",
    "@",
    ".",
    "-",
    "_",
    "A",
    "5000",
    "localhost",
    DIGEST,
    " ",
    "é",
  ];
  let seed = 20261123;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed % below;
  };
  let accepted = 0;
  for (let round = 0; round < 50_000; round++) {
    const text = Array.from({ length: 1 + random(9) }, () => alphabet[random(alphabet.length)])
      .join("");
    let reference;
    try {
      reference = parseReference(text);
    } catch (error) {
      assert(error instanceof InvalidArgumentError, `${text}: ${error}`);
      continue;
    }
    accepted++;
    assert.equal(String(parseReference(String(reference))), String(reference), text);
    assert(!/[\s\0]|\.\.\//.test(String(reference)));
  }
  assert(accepted > 500, `only ${accepted} were accepted`);
});
