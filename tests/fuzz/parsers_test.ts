/**
 * What comes from registries, archives, plugins, files and clients, mutated: parsers answer with a value
 * or an error of the domain, soon.
 *
 * @module
 */
import { InvalidArgumentError } from "../../src/errors/mod.ts";
import { parseImageConfig } from "../../src/image/image_config.ts";
import { machinePlatform, parseManifest } from "../../src/image/manifest.ts";
import { parseImageName } from "../../src/image/reference.ts";
import { parseRegistriesConf } from "../../src/image/registries_conf.ts";
import { parseCniList } from "../../src/network/cni_list.ts";
import { parseResult } from "../../src/network/cni_result.ts";
import { TarReader } from "../../src/storage/tar_reader.ts";
import {
  buildImage,
  buildIndex,
  busyboxLayer,
  MEDIA_TYPES,
  tarOf,
} from "../integration/test_images.ts";
import { fuzz, mutateBytes, mutateText, type Random } from "./mutation.ts";

const DURATION_MS = 2_000;
const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

Deno.test("mutated image references are names or refused", () =>
  fuzz({
    seed: 1,
    durationMs: DURATION_MS,
    seeds: [
      "busybox",
      "docker.io/library/busybox:1.36",
      "registry.example:5000/team/app:v1.2.3",
      `127.0.0.1:5000/a/b@${DIGEST}`,
      `quay.io/x/y:tag@${DIGEST}`,
      "[::1]:5000/a:b",
    ],
    mutate: mutateText,
    act: (text) => parseImageName(text),
  }));

const IMAGE = buildImage({ layers: [busyboxLayer()], config: { Cmd: ["sh"], Env: ["A=b"] } });
const INDEX = buildIndex([IMAGE]);

function mutateJson(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.below(3) === 0) return mutateBytes(bytes, random);
  return new TextEncoder().encode(mutateText(new TextDecoder().decode(bytes), random));
}

Deno.test("mutated manifests and indexes are understood or refused", () =>
  fuzz<Uint8Array>({
    seed: 2,
    durationMs: DURATION_MS,
    seeds: [IMAGE.manifest.bytes, INDEX.manifest.bytes],
    mutate: mutateJson,
    act: (bytes) => parseManifest(bytes, MEDIA_TYPES.ociManifest),
  }));

Deno.test("mutated image configurations are understood or refused", () =>
  fuzz<Uint8Array>({
    seed: 3,
    durationMs: DURATION_MS,
    seeds: [IMAGE.config.bytes],
    mutate: mutateJson,
    act: (bytes) => parseImageConfig(bytes, machinePlatform()),
  }));

Deno.test("mutated tar archives are read or refused", () =>
  fuzz<Uint8Array>({
    seed: 4,
    durationMs: DURATION_MS,
    seeds: [
      tarOf([
        { path: "bin/" },
        { path: "bin/sh", content: "x".repeat(700), mode: 0o755 },
        { path: "bin/ls", link: "sh" },
        { path: "etc/passwd", content: "root:x:0:0::/:/bin/sh\n" },
      ]),
    ],
    mutate: mutateBytes,
    act: (bytes) => {
      const reader = new TarReader({
        visitor: { entry: () => {}, content: () => {}, entryEnd: () => {} },
        maxEntries: 1_000,
      });
      for (let at = 0; at < bytes.length; at += 333) reader.push(bytes.subarray(at, at + 333));
      reader.end();
    },
  }));

Deno.test("mutated registries.conf files are read or refused", () =>
  fuzz({
    seed: 5,
    durationMs: DURATION_MS,
    seeds: [
      `unqualified-search-registries = ["docker.io", "quay.io"]
short-name-mode = "enforcing"

[[registry]]
prefix = "example.com/foo"
location = "internal.example:5000/bar"
insecure = true

[[registry.mirror]]
location = "mirror.example/foo"

[aliases]
"busybox" = "docker.io/library/busybox"
`,
    ],
    mutate: mutateText,
    act: (text) => parseRegistriesConf(text, "/etc/containers/registries.conf"),
  }));

const RESULT = JSON.stringify({
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/run/netns/x" }],
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.1.2.1"] },
});

Deno.test("mutated CNI results are read or told to be no result", () =>
  fuzz({
    seed: 6,
    durationMs: DURATION_MS / 2,
    seeds: [RESULT],
    mutate: mutateText,
    act: (text) => {
      const parsed = parseResult(text, "1.0.0");
      if (!parsed.ok) throw new InvalidArgumentError(parsed.problem);
    },
  }));

Deno.test("mutated CNI lists are read or refused", () =>
  fuzz({
    seed: 7,
    durationMs: DURATION_MS / 2,
    seeds: [JSON.stringify({
      cniVersion: "1.0.0",
      name: "net",
      plugins: [{
        type: "bridge",
        bridge: "br0",
        capabilities: { portMappings: true },
        ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }]] },
      }],
    })],
    mutate: mutateText,
    act: (text) => {
      let json: unknown;
      try {
        json = JSON.parse(text);
      } catch {
        throw new InvalidArgumentError("not JSON");
      }
      parseCniList(json);
    },
  }));
