/** A forwarded session: any number of connections to ports of one pod. @module */
import type { SandboxId } from "../model/mod.ts";

export interface PortForward {
  readonly kind: "port-forward";
  readonly sandbox: SandboxId;
  /** For clients that do not name a port with each connection. */
  readonly ports: readonly number[];
}

/** What a client reads of a connection that failed. */
export function forwardFailure(port: number, sandbox: SandboxId, error: unknown): Uint8Array {
  const why = error instanceof Error ? error.message : String(error);
  return new TextEncoder().encode(`error forwarding port ${port} to pod ${sandbox}: ${why}`);
}
