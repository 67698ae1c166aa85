/**
 * What a client may make this process hold or do, each with its reason. A real client stays far
 * below all of them but those of buffers, which are where back-pressure begins.
 *
 * @module
 */

/** A control frame's body. The specification asks for 8 KiB at least; Kubernetes' have some 100 bytes. */
export const CONTROL_FRAME_LIMIT_BYTES = 16 * 1024;

/** A header block after decompression, so that a small frame cannot become a large text. */
export const HEADER_BLOCK_LIMIT_BYTES = 64 * 1024;

/** Headers of one block. Kubernetes sends three at most. */
export const HEADERS_LIMIT = 64;

/** Open streams of a connection: a forwarded connection takes two, an exec five. */
export const STREAMS_LIMIT = 1024;

/** What a stream holds unread before its whole connection is no longer read: SPDY as Kubernetes speaks it has no windows. */
export const STREAM_BUFFER_BYTES = 256 * 1024;

/** The same for all streams of a connection together, as for a WebSocket's channels. */
export const SESSION_BUFFER_BYTES = 1024 * 1024;

/** Answers that wait for a client that does not read, before it is no longer read either. */
export const PENDING_ANSWERS_BYTES = 64 * 1024;

/** Data of one frame that we send: large enough that its header costs nothing, small enough that streams take turns. */
export const DATA_FRAME_BYTES = 64 * 1024;

/** How long a client may take to end its side after we have ended ours. */
export const LINGER_MS = 5_000;

/** How often a client is asked for a sign of life while it is not read. */
export const PROBE_INTERVAL_MS = 10_000;
