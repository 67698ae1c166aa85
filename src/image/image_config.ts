/**
 * The configuration of an image, parsed out of hostile bytes into {@link ImageConfig}, and the chain IDs
 * of its layers. Follows the OCI image specification 1.1, "Image Configuration".
 *
 * @module
 */
import { createHash } from "node:crypto";
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { type ChainId, type DiffId, isDigest } from "../model/mod.ts";
import type { ImageConfig } from "./images.ts";
import { JsonShape } from "./json_shape.ts";
import { MAX_LAYERS, type Platform, platformText } from "./manifest.ts";

const MAX_USER = 256;
const MAX_WORD = 128 << 10;
const MAX_PATH = 4096;
const MAX_WORDS = 10_000;
const MAX_LABELS = 10_000;
const MAX_LABEL_KEY = 4096;
const MAX_LABEL = 256 << 10;
const MAX_PORT = 64;
const MAX_TIME = 64;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * @throws {InvalidArgumentError} malformed, over a limit, or a text with NUL where the kernel takes none
 * @throws {FailedPreconditionError} for another machine than `machine`
 */
export function parseImageConfig(bytes: Uint8Array, machine: Platform): ImageConfig {
  const document = JsonShape.parse(bytes, "the image configuration");
  const architecture = document.text("architecture", MAX_WORD);
  const os = document.text("os", MAX_WORD);
  checkPlatform({ os, architecture, variant: document.text("variant", MAX_WORD) }, machine);
  const config = document.object("config") ?? JsonShape.of({}, "the image configuration at config");
  return {
    architecture,
    os,
    user: checkedUser(config),
    env: kernelTexts(config, "Env"),
    entrypoint: kernelTexts(config, "Entrypoint"),
    cmd: kernelTexts(config, "Cmd"),
    workingDir: kernelText(config, "WorkingDir", config.text("WorkingDir", MAX_PATH)),
    labels: labelsOf(config),
    volumes: keysOf(config, "Volumes", MAX_PATH),
    exposedPorts: keysOf(config, "ExposedPorts", MAX_PORT),
    stopSignal: kernelText(config, "StopSignal", config.text("StopSignal", 32)),
    diffIds: diffIdsOf(document),
    created: createdOf(document),
  };
}

function checkPlatform(image: Platform, machine: Platform): void {
  // Images without a statement exist and are taken at their word: they say nothing wrong.
  const wrongSystem = image.os !== "" && image.os !== machine.os;
  const wrongProcessor = image.architecture !== "" && image.architecture !== machine.architecture;
  if (!wrongSystem && !wrongProcessor) return;
  throw new FailedPreconditionError(
    `The image is built for ${platformText(image)}, and this machine is ${platformText(machine)}`,
    { remedy: "use an image that is built for this machine" },
  );
}

function checkedUser(config: JsonShape): string {
  const user = kernelText(config, "User", config.text("User", MAX_USER));
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f]/.test(user) || user.split(":").length > 2) {
    throw config.malformed("User", `${shown(user)} is not user or user:group`);
  }
  return user;
}

/** What execve(2) takes: bounded, and without NUL, which would end it early. */
function kernelTexts(config: JsonShape, key: string): readonly string[] {
  return config.texts(key, MAX_WORDS, MAX_WORD).map((text, index) =>
    kernelText(config, `${key}[${index}]`, text)
  );
}

function kernelText(config: JsonShape, key: string, text: string): string {
  if (text.includes("\0")) throw config.malformed(key, "it has a NUL character");
  return text;
}

function labelsOf(config: JsonShape): Readonly<Record<string, string>> {
  const shape = config.object("Labels");
  if (shape === undefined) return {};
  if (shape.keys.length > MAX_LABELS) {
    throw config.malformed("Labels", `there are more than ${MAX_LABELS}`);
  }
  // Names such as __proto__ are ordinary keys here.
  const labels: Record<string, string> = Object.create(null);
  for (const key of shape.keys) {
    if (key.length > MAX_LABEL_KEY) throw config.malformed("Labels", "a key is too long");
    labels[key] = shape.text(key, MAX_LABEL);
  }
  return Object.fromEntries(Object.entries(labels));
}

/** Sets are written as objects with empty members. */
function keysOf(config: JsonShape, key: string, maxCharacters: number): readonly string[] {
  const keys = config.object(key)?.keys ?? [];
  if (keys.length > MAX_WORDS) throw config.malformed(key, `there are more than ${MAX_WORDS}`);
  for (const one of keys) {
    if (one.length > maxCharacters) throw config.malformed(key, "an entry is too long");
    kernelText(config, key, one);
  }
  return [...keys].sort();
}

function diffIdsOf(document: JsonShape): readonly DiffId[] {
  const rootfs = document.object("rootfs");
  if (rootfs === undefined) throw document.malformed("rootfs", "it is missing");
  const type = rootfs.text("type", MAX_WORD);
  if (type !== "layers") throw rootfs.malformed("type", `${shown(type)} is not "layers"`);
  return rootfs.texts("diff_ids", MAX_LAYERS, 256).map((text) => {
    if (!isDigest(text)) throw rootfs.malformed("diff_ids", `${shown(text)} is not a digest`);
    return text as DiffId;
  });
}

/** A wrong time is no reason to refuse an image: it is unknown then. */
function createdOf(document: JsonShape): string {
  const created = document.text("created", MAX_TIME);
  return RFC3339.test(created) && !Number.isNaN(Date.parse(created)) ? created : "";
}

/**
 * Chain IDs of layers, bottom first: the first is its diff ID, each further one the digest of the one
 * below, a space and its diff ID.
 */
export function chainIds(diffIds: readonly DiffId[]): readonly ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(
      (below === undefined
        ? diffId
        : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`) as ChainId,
    );
  }
  return chain;
}

/** @throws {InvalidArgumentError} the manifest has another number of layers than the configuration */
export function checkLayerCount(layers: number, diffIds: number): void {
  if (layers === diffIds) return;
  throw new InvalidArgumentError(
    `Cannot use the image: its manifest has ${layers} layers and its configuration ${diffIds}`,
  );
}
