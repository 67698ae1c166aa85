/** SPDY/3.1, the server's side, as Kubernetes' clients speak it. @module */
export type { SpdyHeaders } from "./header_block.ts";
export { SpdySession, type SpdySessionOptions } from "./session.ts";
export type { SpdyStream } from "./stream.ts";
