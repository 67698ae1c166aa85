/**
 * Decompression of layer blobs as a stream with bounded memory: chunks go in, the sink gets what
 * comes out, and a write does not return before the decoder has taken the chunk.
 *
 * @module
 */
import { createGunzip, createZstdDecompress } from "node:zlib";
import { InvalidArgumentError } from "../errors/mod.ts";
import type { LayerCompression } from "./layers.ts";
import { ZstdFrames } from "./zstd_frames.ts";

export type ByteSink = (bytes: Uint8Array) => void;

export interface Decompressor {
  /** @throws {InvalidArgumentError} the data is not of this compression; or what the sink threw */
  write(chunk: Uint8Array): Promise<void>;
  /** The blob is complete. @throws {InvalidArgumentError} it is cut off, or something follows its end */
  end(): Promise<void>;
  /** Gives the decoder's memory back; after it nothing reaches the sink. */
  destroy(): void;
}

/** Large output chunks make inflating almost twice as fast as the default of 16 KiB. */
const CHUNK_BYTES = 1 << 18;

export function decompressor(compression: LayerCompression, sink: ByteSink): Decompressor {
  switch (compression) {
    case "none":
      return {
        write: (chunk) => {
          sink(chunk);
          return Promise.resolve();
        },
        end: () => Promise.resolve(),
        destroy() {},
      };
    case "gzip":
      return new Gunzip(sink);
    case "zstd":
      return new Unzstd(sink);
  }
}

/** What this module uses of node's zlib streams. */
interface ZlibStream {
  readonly bytesWritten: number;
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "error" | "end", listener: (error?: unknown) => void): unknown;
  write(chunk: Uint8Array, written: () => void): unknown;
  end(): unknown;
  destroy(): unknown;
}

/** A zlib stream whose every write is awaited, so that at most one chunk is in it. */
class Stage {
  readonly #stream: ZlibStream;
  readonly #failed = Promise.withResolvers<never>();
  readonly #ended = Promise.withResolvers<void>();
  #fed = 0;

  constructor(stream: ZlibStream, sink: ByteSink, format: string) {
    this.#stream = stream;
    // Whoever waits in write or end hears of it.
    this.#failed.promise.catch(() => {});
    let failed = false;
    stream.on("data", (bytes) => {
      if (failed) return;
      try {
        sink(bytes);
      } catch (error) {
        failed = true;
        this.#failed.reject(error);
        stream.destroy();
      }
    });
    stream.on("error", (cause) => {
      failed = true;
      this.#failed.reject(
        new InvalidArgumentError(
          `Cannot decompress the layer: its ${format} data is damaged, cut off or followed by garbage`,
          { cause },
        ),
      );
    });
    stream.on("end", () => this.#ended.resolve());
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#fed += chunk.length;
    const written = Promise.withResolvers<void>();
    this.#stream.write(chunk, written.resolve);
    await Promise.race([written.promise, this.#failed.promise]);
  }

  async end(): Promise<void> {
    this.#stream.end();
    await Promise.race([this.#ended.promise, this.#failed.promise]);
  }

  /** Bytes given to the decoder that it has not looked at. */
  get unread(): number {
    return this.#fed - this.#stream.bytesWritten;
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

/** Concatenated members are one stream (RFC 1952); anything else after a member is refused. */
class Gunzip implements Decompressor {
  readonly #stage: Stage;

  constructor(sink: ByteSink) {
    this.#stage = new Stage(createGunzip({ chunkSize: CHUNK_BYTES }), sink, "gzip");
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#stage.write(chunk);
  }

  async end(): Promise<void> {
    await this.#stage.end();
    // Zeros after the last member pass zlib's stream in silence.
    if (this.#stage.unread > 0) {
      throw new InvalidArgumentError(
        `Cannot decompress the layer: ${this.#stage.unread} bytes follow the end of its gzip data`,
      );
    }
  }

  destroy(): void {
    this.#stage.destroy();
  }
}

class Unzstd implements Decompressor {
  readonly #frames = new ZstdFrames();
  readonly #stage: Stage;

  constructor(sink: ByteSink) {
    this.#stage = new Stage(createZstdDecompress({ chunkSize: CHUNK_BYTES }), sink, "zstd");
  }

  async write(chunk: Uint8Array): Promise<void> {
    // The decoder loses what follows a frame's end within one write: each frame is written alone.
    for (const { bytes } of this.#frames.push(chunk)) {
      if (bytes.length > 0) await this.#stage.write(bytes);
    }
  }

  async end(): Promise<void> {
    this.#frames.end();
    await this.#stage.end();
    if (this.#stage.unread > 0) {
      throw new InvalidArgumentError("Cannot decompress the layer: its zstd data is damaged");
    }
  }

  destroy(): void {
    this.#stage.destroy();
  }
}
