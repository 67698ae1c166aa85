/** Exec, attach and port-forward for clients: URLs, HTTP, SPDY and WebSocket. @module */
export { StreamingServer, type StreamingServerOptions, type StreamUrls } from "./server.ts";
export type { WantedStreams } from "./remote_command.ts";
export type { TlsOptions } from "./tls_files.ts";
export { DEFAULT_IDLE_TIMEOUT_MS } from "./limits.ts";
