/** Streams that say when something passes. @module */
import type { ByteSink, ByteSource } from "../model/mod.ts";

export function touchingSource(source: ByteSource, onActivity: () => void): ByteSource {
  return {
    [Symbol.asyncIterator]() {
      const chunks = source[Symbol.asyncIterator]();
      return {
        next: async () => {
          const result = await chunks.next();
          onActivity();
          return result;
        },
        return: async () => await chunks.return?.() ?? { done: true, value: undefined },
      };
    },
  };
}

export function touchingSink(sink: ByteSink, onActivity: () => void): ByteSink {
  return {
    write(bytes) {
      onActivity();
      return sink.write(bytes);
    },
    end: () => sink.end(),
  };
}
