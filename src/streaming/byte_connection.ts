/**
 * A connection to a client as bytes in both directions: a TCP or TLS socket, or a tunnel through
 * WebSocket messages.
 *
 * @module
 */
import type { ByteSink, ByteSource } from "../model/mod.ts";

export interface ByteConnection {
  readonly source: ByteSource;
  readonly sink: ConnectionSink;
  /** Of the chunk that was read last something is still used: the next takes other memory. */
  keep(): void;
  /** Ends both directions at once; what is not yet sent is lost. Succeeds again and again. */
  destroy(): void;
}

export interface ConnectionSink extends ByteSink {
  /**
   * As {@link ByteSink.write} of all of them, one after the other; they leave together and are not copied.
   * Without it each is written by itself.
   */
  writeParts?(parts: readonly Uint8Array[]): Promise<void>;
}
