/**
 * Copying between a client's streams and descriptors on the event loop, with back-pressure.
 *
 * @module
 */
import type { Socket } from "node:net";

/**
 * Reads a source until it ends or throws, `take` answers false, or the signal fires: what waits in the
 * source then is left there, and the source is told.
 *
 * @returns true if the source has ended
 */
export async function consume<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  take: (item: T) => Promise<boolean> | boolean,
): Promise<boolean> {
  const iterator = source[Symbol.asyncIterator]();
  const { promise: left, resolve: leave } = Promise.withResolvers<false>();
  const onAbort = () => leave(false);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  /** The item that is being taken, which is lent until the source hears of us again. */
  let taking: Promise<boolean> | boolean = true;
  const read = async (): Promise<boolean> => {
    while (!signal.aborted) {
      const { done, value } = await iterator.next();
      if (done === true) return true;
      if (signal.aborted) return false;
      taking = take(value);
      if (!await taking) return false;
    }
    return false;
  };
  const reading = read();
  reading.catch(() => {}); // nobody waits for it once it has been left
  try {
    return await Promise.race([reading, left]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    const giveBack = () => {
      // A source that is waiting for its sender answers later, or never.
      iterator.return?.()?.then(undefined, () => {});
    };
    void Promise.resolve(taking).then(giveBack, giveBack);
  }
}

/** Resolves when the bytes are written, with false if nobody reads them any more. */
export function writeTo(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve(false);
    socket.write(bytes, (error) => resolve(error === undefined || error === null));
  });
}
