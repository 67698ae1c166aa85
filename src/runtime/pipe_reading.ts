/**
 * Reading a pipe to its first line or its end, with a limit.
 *
 * @module
 */
import type { Socket } from "node:net";
import { ResourceExhaustedError } from "../errors/mod.ts";

/**
 * The bytes up to the first newline, or all of them if the other side closes first.
 *
 * @throws {ResourceExhaustedError} more than `limitBytes` came without a newline
 * @throws the signal's reason, if it fires first
 */
export function readLine(
  pipe: Socket,
  { limitBytes, signal }: { readonly limitBytes: number; readonly signal: AbortSignal },
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const finish = () => resolve(new TextDecoder().decode(concatenated(chunks, length)));
  const onData = (chunk: Uint8Array) => {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes(10)) finish();
    else if (length > limitBytes) {
      reject(new ResourceExhaustedError(`A pipe's line is longer than ${limitBytes} bytes`));
    }
  };
  const onAbort = () => reject(signal.reason);
  pipe.on("data", onData);
  pipe.once("end", finish);
  pipe.once("close", finish);
  pipe.once("error", reject);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  return promise.finally(() => {
    pipe.off("data", onData);
    pipe.off("end", finish);
    pipe.off("close", finish);
    pipe.off("error", reject);
    signal.removeEventListener("abort", onAbort);
  });
}

function concatenated(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** A signal that fires with `error` after `timeoutMs`, or when `outer` does; disposing ends the timer. */
export function deadline(
  timeoutMs: number,
  error: () => Error,
  outer?: AbortSignal,
): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(error()), timeoutMs);
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
