/** Content identity of requests. @module */
import { createHash } from "node:crypto";

/**
 * SHA-256 over a value's JSON with sorted keys: equal for equal requests whatever the order of
 * their maps on the wire (clients in Go send maps in random order).
 */
export function fingerprint(...parts: readonly unknown[]): string {
  return createHash("sha256").update(canonicalJson(parts)).digest("hex");
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === "bigint") return inner.toString();
    if (inner instanceof Uint8Array) return inner.toBase64();
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });
}
