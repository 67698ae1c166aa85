/** How containers end, and what they wrote last. @module */
import { NotFoundError } from "../errors/mod.ts";
import { ContainerState } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";
import { type LogEntry, readLog } from "./container_log.ts";
import { safeText } from "./table.ts";

export interface ContainerEnd {
  readonly exitCode: number;
  /** From start to end; 0 if it is not known. */
  readonly ranMs: number;
}

/**
 * What a container writes until it ends: the log is closed at the end, so nobody has to ask again
 * and again.
 */
export async function* entriesToEnd(
  client: CriClient,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<LogEntry> {
  const { status } = await client.runtime.containerStatus({ containerId: id });
  yield* readLog({ path: status?.logPath ?? "", until: () => hasEnded(client, id), signal });
}

/** Resolves when the container has ended or `signal` fires. */
export async function waitForEnd(
  client: CriClient,
  id: string,
  signal: AbortSignal,
): Promise<ContainerEnd> {
  for await (const _ of entriesToEnd(client, id, signal)) {
    // Only the end matters.
  }
  return await endOf(client, id);
}

/** Of a container that has ended. One that somebody has removed counts as killed. */
export async function endOf(client: CriClient, id: string): Promise<ContainerEnd> {
  try {
    const { status } = await client.runtime.containerStatus({ containerId: id });
    if (status === undefined) return REMOVED;
    const { exitCode, startedAt, finishedAt } = status;
    const ranMs = finishedAt > startedAt && startedAt > 0n
      ? Number((finishedAt - startedAt) / 1_000_000n)
      : 0;
    return { exitCode, ranMs };
  } catch (error) {
    if (error instanceof NotFoundError) return REMOVED;
    throw error;
  }
}

const REMOVED: ContainerEnd = { exitCode: 137, ranMs: 0 };

/** True if a container has ended or is gone. */
export async function hasEnded(client: CriClient, id: string): Promise<boolean> {
  try {
    const { status } = await client.runtime.containerStatus({ containerId: id });
    return status?.state === ContainerState.CONTAINER_EXITED;
  } catch (error) {
    if (error instanceof NotFoundError) return true;
    throw error;
  }
}

const LAST_LINES = 3;

/** The last lines on one line, for a message; empty if nothing was written. */
export async function lastLines(client: CriClient, id: string): Promise<string> {
  const { status } = await client.runtime.containerStatus({ containerId: id });
  const lines: string[] = [];
  const decoder = new TextDecoder();
  try {
    for await (const { content } of readLog({ path: status?.logPath ?? "", tail: LAST_LINES })) {
      lines.push(safeText(decoder.decode(content.subarray(0, 400))));
    }
  } catch (error) {
    // The message is about the container; a log that is not there must not hide that.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return lines.filter((line) => line !== "").slice(-LAST_LINES).join(" | ");
}
