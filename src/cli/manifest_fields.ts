/** Kinds of values that many fields of a manifest have. @module */
import { shown } from "../errors/mod.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import { parseQuantity } from "../model/mod.ts";

/** A DNS label. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A DNS subdomain, as the names of most objects are. */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export function labelName(node: ManifestNode): string {
  return named(node, NAME);
}

export function objectName(node: ManifestNode): string {
  return named(node, OBJECT_NAME);
}

function named(node: ManifestNode, form: RegExp): string {
  const text = node.text();
  return form.test(text) ? text : node.refuse(`${shown(text)} is not a valid name`);
}

export function absolutePath(node: ManifestNode): string {
  const path = node.text();
  return path.startsWith("/") && !path.includes("\0")
    ? path
    : node.refuse(`${shown(path)} must be an absolute path`);
}

/** A path below a volume that leaves it by no name: `a/b`. */
export function relativePath(node: ManifestNode): string {
  const path = node.text();
  const parts = path.split("/");
  const good = path.length <= 4096 && !path.includes("\0") &&
    parts.every((part) =>
      part !== "" && part !== "." && !part.startsWith("..") && part.length < 256
    );
  return good ? path : node.refuse(`${shown(path)} must be a relative path without ..`);
}

export function natural(node: ManifestNode): bigint | undefined {
  if (!node.present) return undefined;
  const value = node.integer();
  return value >= 0n && value < 1n << 62n ? value : node.refuse("must not be negative");
}

export function portNumber(node: ManifestNode, least: number): number {
  const value = node.integer();
  return value >= BigInt(least) && value <= 65_535n
    ? Number(value)
    : node.refuse("must be a port number");
}

/** Permission bits of a file: `0644` is octal in a manifest, as YAML 1.1 has it, `420` decimal. */
export function fileMode(node: ManifestNode, fallback: number): number {
  if (!node.present) return fallback;
  const octal = /^0o?([0-7]+)$/.exec(node.written ?? "")?.[1];
  const value = octal === undefined ? node.integer() : BigInt(`0o${octal}`);
  return value >= 0n && value <= 0o777n
    ? Number(value)
    : node.refuse("must be permission bits, such as 0o644 or 420");
}

/** YAML makes numbers of plain digits, which are quantities as well. */
export function quantity(node: ManifestNode, scale = 1n): bigint | undefined {
  if (!node.present) return undefined;
  const { value } = node;
  const text = typeof value === "bigint" || typeof value === "number" ? String(value) : node.text();
  return parseQuantity(text, scale) ?? node.refuse(`${shown(text)} is no quantity`);
}
