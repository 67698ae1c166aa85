/**
 * Identities of the things this runtime keeps, as types that exist only if valid: parsed once at
 * the edge, never checked again inside.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** Pod sandbox id: 64 lower-case hexadecimal digits. */
export type SandboxId = Brand<"SandboxId">;
/** Container id: 64 lower-case hexadecimal digits. */
export type ContainerId = Brand<"ContainerId">;
/** Image id: digest of the image's configuration, 64 lower-case hexadecimal digits, no prefix. */
export type ImageId = Brand<"ImageId">;
/** Content digest of the OCI image specification, `sha256:<64 hex>` or `sha512:<128 hex>`. */
export type Digest = Brand<"Digest">;
/** Digest of a layer's uncompressed tar stream. */
export type DiffId = Brand<"Digest"> & { readonly __diff?: never };
/** Identity of a layer together with all layers below it (OCI image specification, "Layer ChainID"). */
export type ChainId = Brand<"Digest"> & { readonly __chain?: never };

const HEX64 = /^[0-9a-f]{64}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** 32 bytes from the system's random source, as 64 hexadecimal digits. */
function randomHex64(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}

export function newSandboxId(): SandboxId {
  return randomHex64() as SandboxId;
}

export function newContainerId(): ContainerId {
  return randomHex64() as ContainerId;
}

/** @throws {InvalidArgumentError} if `text` is not 64 lower-case hexadecimal digits */
export function parseSandboxId(text: string, field = "pod_sandbox_id"): SandboxId {
  return hex64(text, field) as SandboxId;
}

/** @throws {InvalidArgumentError} if `text` is not 64 lower-case hexadecimal digits */
export function parseContainerId(text: string, field = "container_id"): ContainerId {
  return hex64(text, field) as ContainerId;
}

/** Accepts the bare and the `sha256:` form. @throws {InvalidArgumentError} for anything else */
export function parseImageId(text: string, field = "image_id"): ImageId {
  return hex64(text.startsWith("sha256:") ? text.slice(7) : text, field) as ImageId;
}

/** @throws {InvalidArgumentError} unless `text` is a sha256 or sha512 digest */
export function parseDigest(text: string, field = "digest"): Digest {
  if (!DIGEST.test(text)) {
    throw new InvalidArgumentError(`${field} ${shown(text)} is not a digest`, {
      field,
      value: text,
      remedy: "give sha256:<64 hexadecimal digits>",
    });
  }
  return text as Digest;
}

export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** The digest's hexadecimal part. */
export function digestHex(digest: Digest | DiffId | ChainId): string {
  return digest.slice(digest.indexOf(":") + 1);
}

function hex64(text: string, field: string): string {
  if (!HEX64.test(text)) {
    throw new InvalidArgumentError(`${field} ${shown(text)} is not an id`, {
      field,
      value: text,
      remedy: "give 64 lower-case hexadecimal digits",
    });
  }
  return text;
}
