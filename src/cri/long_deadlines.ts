/**
 * Deadlines that are farther away than a timer can hold.
 *
 * The gRPC library makes 32 bits of a `grpc-timeout`'s milliseconds and takes what is left for the
 * deadline: of 30 days nothing is, and a pod with so long a grace period could never be stopped.
 *
 * @module
 */
import type { Server as GrpcServer } from "@grpc/grpc-js";
import type { IncomingHttpHeaders } from "node:http2";
import { LONGEST_TIMER_MS } from "../model/mod.ts";

const HEADER = "grpc-timeout";
/** Milliseconds of the units in which so much can be said with eight digits. */
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** The same timeout, or the longest that a timer can hold (gRPC over HTTP/2, `Timeout`). */
export function heldTimeout(timeout: string): string {
  const [, digits = "", unit = ""] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  const ms = Number(digits) * (UNIT_MS[unit] ?? 0);
  return ms > LONGEST_TIMER_MS ? `${Math.floor(LONGEST_TIMER_MS / 1_000)}S` : timeout;
}

/** Shortens the deadlines of calls before the library reads them. After it has its connections' server. */
export function holdLongDeadlines(server: GrpcServer): void {
  const hold = (_stream: unknown, headers: IncomingHttpHeaders) => {
    const timeout = headers[HEADER];
    if (typeof timeout === "string") headers[HEADER] = heldTimeout(timeout);
  };
  for (const http2 of server["http2Servers"].keys()) http2.prependListener("stream", hold);
}
