/**
 * What a client of the streaming server may take at most, each with its reason.
 *
 * @module
 */
import type { KeepAlive } from "../sys/mod.ts";

/** URLs that nobody has used yet. The kubelet asks for one and uses it at once. */
export const PENDING_URLS_LIMIT = 1_000;
/**
 * Command lines of all of them together, as the server's memory has them. One may have 6 MiB, and those of all
 * URLs that {@link PENDING_URLS_LIMIT} allows would not fit in; the API server takes at most 1 MiB of a client.
 */
export const PENDING_ARGUMENTS_BYTES = 16 * 1024 * 1024;
/** From the answer of Exec, Attach or PortForward to the use of its URL. */
export const URL_LIFE_MS = 30_000;
/** A token is as hard to guess as a key. */
export const TOKEN_BYTES = 32;

/**
 * Open connections: as many as there may be sessions of all kinds (those of commands are in
 * `src/pod/process_sessions.ts`), and some that have not said yet what they want. The oldest of these makes
 * way when there are more.
 */
export const CONNECTIONS_LIMIT = 1_024;
/** Above {@link CONNECTIONS_LIMIT}: those that are told why they are refused. Further ones are closed at once. */
export const CONNECTIONS_TOLD_LIMIT = CONNECTIONS_LIMIT + 256;
/** Attached clients: each may be 4 MiB behind. */
export const ATTACH_LIMIT = 128;
/** Port-forward sessions: of people, each with one pod. */
export const PORT_FORWARD_SESSIONS_LIMIT = 128;
/** Request line and headers; Go's client sends about 300 bytes. */
export const HEAD_LIMIT_BYTES = 16 * 1024;
export const HEADERS_LIMIT = 64;
/** For the TLS handshake, and again for the request's head. */
export const HEAD_TIMEOUT_MS = 10_000;

/** From the switch of protocols until the client has opened the streams it asked for. */
export const STREAM_CREATION_TIMEOUT_MS = 30_000;
/** As the kubelet's streaming library: unless the configuration says otherwise. */
export const DEFAULT_IDLE_TIMEOUT_MS = 4 * 60 * 60 * 1000;
/** A silent client that is no longer there is found after so long. */
export const KEEP_ALIVE_MS = 30_000;
/** The kernel's questions to a silent client, which add up to {@link KEEP_ALIVE_MS}. */
export const KEEP_ALIVE: KeepAlive = { idleSeconds: 15, intervalSeconds: 5, probes: 3 };
/** For the client to take what was said last and to close its side. */
export const CLOSE_TIMEOUT_MS = 5_000;

/**
 * Input of a WebSocket session that nobody has read yet, in all its channels. More than a pipe, so that a
 * client's pings behind it are still heard; the connection is not read while a channel has its share.
 */
export const UNREAD_INPUT_BYTES = 1024 * 1024;
/** A message that must be whole before it can be read: in base64, or a sign to close a channel. */
export const WHOLE_MESSAGE_LIMIT_BYTES = 1024 * 1024;
/** One message of output: what a reader has to hold. Go's client reads 32 KiB at a time. */
export const MESSAGE_BYTES = 64 * 1024;
/** Text of a terminal's size that has no end yet. */
export const RESIZE_LIMIT_CHARACTERS = 1_024;
/** Forwarded connections of one session at a time, which a browser's page stays far below. */
export const FORWARDED_CONNECTIONS_LIMIT = 256;
