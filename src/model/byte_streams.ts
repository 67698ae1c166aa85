/**
 * Bytes on their way between a client and a process, with back-pressure in both directions.
 *
 * @module
 */

/**
 * Bytes that come, in order. Ends when the sender has closed its half; throws if the sender is lost.
 * Leaving the loop says that no more is wanted. A chunk is lent: it stays as it is until the reader asks for
 * the next or leaves, and is copied by one who keeps it longer.
 */
export type ByteSource = AsyncIterable<Uint8Array>;

/** Bytes that go, in order. */
export interface ByteSink {
  /**
   * Resolves when the receiver can take more; one write at a time. The chunk is lent until then.
   *
   * @throws {UnavailableError} the receiver is gone
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Tells the receiver that no more comes. Succeeds if it is gone, and when called again. */
  end(): Promise<void>;
}

/** One client's ends of a process's streams; what it did not ask for is undefined. */
export interface ClientStreams {
  /** Its end is the end of the process's standard input. */
  readonly stdin: ByteSource | undefined;
  readonly stdout: ByteSink | undefined;
  /** Undefined with a terminal, which has one output only. */
  readonly stderr: ByteSink | undefined;
  /** Of a terminal, as the client resizes it. */
  readonly resizes: AsyncIterable<TerminalSize> | undefined;
  /** Aborted when the client is gone; the reason is an Error. */
  readonly signal: AbortSignal;
}

/** Character cells, each 1 to 65535. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}
