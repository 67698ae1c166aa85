/** Streams that say when something passes. @module */
import type { ByteSink, ByteSource } from "../model/mod.ts";

export function touchingSource(source: ByteSource, onActivity: () => void): ByteSource {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const chunk of source) {
        onActivity();
        yield chunk;
      }
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
