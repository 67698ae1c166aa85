import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import type { DiffId } from "../model/mod.ts";
import { chainIds, checkLayerCount, parseImageConfig } from "./image_config.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const machine = { os: "linux", architecture: "amd64", variant: "" };
const base = {
  architecture: "amd64",
  os: "linux",
  created: "2026-01-02T03:04:05Z",
  rootfs: { type: "layers", diff_ids: [DIGEST] },
};
const parse = (value: unknown) =>
  parseImageConfig(new TextEncoder().encode(JSON.stringify(value)), machine);

Deno.test("parseImageConfig() reads every member and tolerates null", () => {
  const config = parse({
    ...base,
    config: {
      User: "1000:100",
      Env: ["A=1"],
      Entrypoint: ["/x"],
      Cmd: null,
      WorkingDir: "/w",
      Labels: { a: "b", ["__proto__"]: "c", hasOwnProperty: "d" },
      Volumes: { "/v": {}, "/a": {} },
      ExposedPorts: { "80/tcp": {} },
      StopSignal: "SIGINT",
    },
  });
  assert.deepEqual({ ...config, labels: Object.entries(config.labels) }, {
    architecture: "amd64",
    os: "linux",
    user: "1000:100",
    env: ["A=1"],
    entrypoint: ["/x"],
    cmd: [],
    workingDir: "/w",
    labels: [["a", "b"], ["__proto__", "c"], ["hasOwnProperty", "d"]].slice(0),
    volumes: ["/a", "/v"],
    exposedPorts: ["80/tcp"],
    stopSignal: "SIGINT",
    diffIds: [DIGEST],
    created: "2026-01-02T03:04:05Z",
  });
  assert.deepEqual(parse({ ...base, config: null }).env, []);
});

Deno.test("parseImageConfig() treats a wrong time as unknown", () => {
  for (const created of ["", "yesterday", "2026-99-99T00:00:00Z", "2026-01-01"]) {
    assert.equal(parse({ ...base, created }).created, "");
  }
});

Deno.test("parseImageConfig() refuses other machines", () => {
  assert.throws(() => parse({ ...base, architecture: "s390x" }), FailedPreconditionError);
  assert.throws(() => parse({ ...base, os: "windows" }), FailedPreconditionError);
});

Deno.test("parseImageConfig() refuses hostile values", () => {
  const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, ""]));
  const wrong: unknown[] = [
    { ...base, rootfs: undefined },
    { ...base, rootfs: { type: "other", diff_ids: [] } },
    { ...base, rootfs: { type: "layers", diff_ids: ["../x"] } },
    { ...base, rootfs: { type: "layers", diff_ids: Array(600).fill(DIGEST) } },
    { ...base, rootfs: { type: "layers", diff_ids: [1] } },
    { ...base, created: 1 },
    { ...base, config: [] },
    ...[
      { User: "a b" },
      { User: "a\n" },
      { User: "a:b:c" },
      { User: "x".repeat(300) },
      { User: 0 },
      { Env: ["A=\0"] },
      { Env: "A=1" },
      { Env: [1] },
      { Cmd: ["\0"] },
      { Cmd: Array(10_001).fill("") },
      { Entrypoint: ["x".repeat(200_000)] },
      { WorkingDir: "/\0" },
      { WorkingDir: "x".repeat(5000) },
      { Labels: many },
      { Labels: { a: 1 } },
      { Labels: { a: "x".repeat(300_000) } },
      { Volumes: ["/v"] },
      { Volumes: { "/\0": {} } },
      { StopSignal: "x".repeat(40) },
    ].map((config) => ({ ...base, config })),
  ];
  for (const value of wrong) {
    assert.throws(() => parse(value), InvalidArgumentError, JSON.stringify(value).slice(0, 120));
  }
});

Deno.test("chainIds() follows the example of the specification", () => {
  const [a, b, c] = ["1", "2", "3"].map((x) => `sha256:${x.repeat(64)}` as DiffId);
  const chain = chainIds([a!, b!, c!]);
  assert.equal(chain[0], a);
  // sha256 of "sha256:11.. sha256:22..", and of that with the third.
  assert.deepEqual(chainIds([a!, b!]), chain.slice(0, 2));
  assert.notEqual(chain[2], chainIds([b!, c!])[1]);
  assert.deepEqual(chainIds([]), []);
});

Deno.test("checkLayerCount() refuses a manifest that disagrees with the configuration", () => {
  checkLayerCount(2, 2);
  assert.throws(() => checkLayerCount(1, 2), InvalidArgumentError);
});
