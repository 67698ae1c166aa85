/** What every session of the streaming server works with. @module */
import type { StreamService } from "../pod/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Connection } from "./connection.ts";
import type { RequestHead } from "./http_head.ts";

/** A request that came with a valid URL, and its connection. */
export interface Session {
  readonly connection: Connection;
  readonly head: RequestHead;
  readonly service: StreamService;
  /** Aborted when the session is to end: the server stops, or it was idle for too long. */
  readonly cut: AbortSignal;
  /** Bytes of the session's streams have come or gone. */
  readonly onActivity: () => void;
  readonly log: Logger;
}
