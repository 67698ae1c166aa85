import assert from "node:assert/strict";
import { InvalidArgumentError, UnavailableError } from "../errors/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { parsePodCidrs, PodCidrs } from "./pod_cidrs.ts";

Deno.test("a pod CIDR is a range, or one of each family, in one spelling", () => {
  for (
    const [text, ranges] of [
      ["10.1.0.0/24", ["10.1.0.0/24"]],
      ["10.1.0.0/24, fd00:1::/64", ["10.1.0.0/24", "fd00:1::/64"]],
      ["FD00:0001:0:0::/64,10.0.0.0/8", ["fd00:1::/64", "10.0.0.0/8"]],
      ["0.0.0.0/0", ["0.0.0.0/0"]],
      ["10.1.2.3/32,::1/128", ["10.1.2.3/32", "::1/128"]],
      ["::ffff:10.1.0.0/112", ["::ffff:a01:0/112"]],
    ] as const
  ) {
    assert.deepEqual(parsePodCidrs(text), ranges, text);
  }
});

Deno.test("a pod CIDR that is none is refused by field and value", () => {
  for (
    const [text, why] of [
      ["10.1.0.0", /"10\.1\.0\.0" has no prefix length from 0 to 32/],
      ["10.1.0.0/33", /from 0 to 32/],
      ["10.1.0.0/024", /from 0 to 32/],
      ["fd00::/129", /from 0 to 128/],
      ["10.1.0.7/24", /"10\.1\.0\.7\/24" is the address of a host/],
      ["fd00::1/64", /is the address of a host/],
      ["10.1.0.0/24/24", /is not a range/],
      ["10.1.0/24", /is not a range/],
      ["fe80::%eth0/64", /is not a range/],
      ["10.1.0.0/24,", /"" is not a range/],
      ["10.1.0.0/24,10.2.0.0/24", /two ranges of IPv4/],
      ["fd00::/64,fd01::/64", /two ranges of IPv6/],
      [`10.1.0.0/24,${"f".repeat(200)}`, /is too long/],
      ["10.1.0.0/24\n", undefined],
      ["10.1.\0.0/24", /is not a range/],
    ] as const
  ) {
    if (why === undefined) {
      assert.deepEqual(parsePodCidrs(text), [text.trim()]);
      continue;
    }
    assert.throws(() => parsePodCidrs(text), (error: InvalidArgumentError) => {
      assert.ok(error instanceof InvalidArgumentError, text);
      assert.match(error.message, why);
      assert.match(error.message, /^runtime_config\.network_config\.pod_cidr /);
      assert.equal(error.details.field, "runtime_config.network_config.pod_cidr");
      return true;
    });
  }
});

Deno.test("pod CIDRs outlast a restart; a refused, empty or unwritable one leaves what was", async () => {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-cidr-" });
  try {
    const path = `${directory}/pod-cidrs.json`;
    const open = () => PodCidrs.open(path, silentLogger);
    const cidrs = await open();
    assert.deepEqual(cidrs.current, []);
    await Promise.all([cidrs.update("10.9.0.0/16"), cidrs.update("10.1.0.0/24,fd00:1::/64")]);
    assert.deepEqual(cidrs.current, ["10.1.0.0/24", "fd00:1::/64"]);
    await cidrs.update("");
    await assert.rejects(cidrs.update("10.1.0.0/24,nonsense"), InvalidArgumentError);
    assert.deepEqual((await open()).current, ["10.1.0.0/24", "fd00:1::/64"]);

    const nowhere = await PodCidrs.open(`${directory}/missing/pod-cidrs.json`, silentLogger);
    await assert.rejects(nowhere.update("10.1.0.0/24"), UnavailableError);
    assert.deepEqual(nowhere.current, []);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["pod-cidrs.json"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a file of pod CIDRs that is damaged, a folder or huge is none, and is told", async () => {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-cidr-" });
  try {
    const path = `${directory}/pod-cidrs.json`;
    for (
      const damage of [
        () => Deno.writeTextFileSync(path, "{"),
        () => Deno.writeTextFileSync(path, "{}"),
        () => Deno.writeTextFileSync(path, '{"podCidrs":["10.0.0.1/8"]}'),
        () => Deno.truncateSync(path, 1 << 40),
        () => {
          Deno.removeSync(path);
          Deno.mkdirSync(path);
        },
      ]
    ) {
      damage();
      const told: string[] = [];
      const log = { ...silentLogger, error: (message: string) => void told.push(message) };
      assert.deepEqual((await PodCidrs.open(path, log)).current, []);
      assert.equal(told.length, 1);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
