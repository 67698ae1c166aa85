/**
 * From a source to a tree on disk as one stream: bytes, size and digest, decompression, diff ID, tar,
 * files. Runs in a worker; memory does not depend on the layer's size.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import {
  CancelledError,
  InvalidArgumentError,
  isErrno,
  ResourceExhaustedError,
} from "../errors/mod.ts";
import type { Kernel } from "../sys/mod.ts";
import { type AskPlace, blobChunks, type WorkerSource } from "./blob_source.ts";
import { decompressor } from "./decompression.ts";
import { type LayerRoot, LayerWriter } from "./layer_writer.ts";
import type { LayerCompression, LayerProgress } from "./layers.ts";
import type { UnpackLimits } from "./limits.ts";
import { TarReader } from "./tar_reader.ts";
import { manifestOf, type TreeManifest } from "./tree_manifest.ts";
import { whiteoutForm, type WhiteoutFormName } from "./whiteout_form.ts";

/** One layer to unpack; travels to the worker. */
export interface UnpackRequest {
  readonly source: WorkerSource;
  readonly compression: LayerCompression;
  readonly blobDigest: string;
  readonly blobSize: bigint;
  readonly diffId: string;
  /** Directory of ours that becomes the layer's root: there, empty. */
  readonly directory: string;
  readonly limits: UnpackLimits;
  readonly whiteouts: WhiteoutFormName;
}

export interface UnpackReply {
  readonly manifest: TreeManifest;
  readonly root: LayerRoot;
}

export interface UnpackContext {
  readonly kernel: Kernel;
  readonly signal: AbortSignal;
  readonly ask: AskPlace;
  readonly onProgress: (progress: LayerProgress) => void;
}

const PROGRESS_INTERVAL_MS = 100;
/** How often the free space is looked at. */
const SPACE_CHECK_BYTES = 64 * 1024 * 1024;

/**
 * @throws {InvalidArgumentError} size, digest or diff ID differ, or the archive is malformed or hostile
 * @throws {ResourceExhaustedError} a limit or the disk is exceeded
 * @throws whatever `ask` throws when no place gives the blob
 * @throws {CancelledError} the signal fired
 */
export async function unpack(
  request: UnpackRequest,
  context: UnpackContext,
): Promise<UnpackReply> {
  using writer = new LayerWriter(
    context.kernel,
    request.directory,
    whiteoutForm(context.kernel, request.whiteouts),
  );
  try {
    const { source, blobSize } = request;
    const chunks = blobChunks({ source, blobSize, ask: context.ask, signal: context.signal });
    await stream(chunks, writer, request, context);
    writer.finish();
  } catch (error) {
    throw diskFull(error, request.directory);
  }
  const manifest = manifestOf(context.kernel, request.directory);
  return { manifest, root: writer.root };
}

async function stream(
  chunks: AsyncIterable<Uint8Array>,
  writer: LayerWriter,
  request: UnpackRequest,
  { kernel, signal, onProgress }: UnpackContext,
): Promise<void> {
  const blob = new CheckedHash(request.blobDigest);
  const diff = new CheckedHash(request.diffId);
  const reader = new TarReader({ visitor: writer, maxEntries: request.limits.entries });
  const budget = new Budget(request, kernel);
  let blobBytes = 0n;
  let unpackedBytes = 0n;
  const decoder = decompressor(request.compression, (bytes) => {
    unpackedBytes += BigInt(bytes.length);
    budget.check(blobBytes, unpackedBytes);
    diff.update(bytes);
    reader.push(bytes);
  });
  let reported = performance.now();
  try {
    for await (const chunk of chunks) {
      if (signal.aborted) throw new CancelledError("Unpacking the layer was cancelled");
      blobBytes += BigInt(chunk.length);
      if (blobBytes > request.blobSize) throw wrongSize(request, "more bytes came");
      blob.update(chunk);
      await decoder.write(chunk);
      const now = performance.now();
      if (now - reported >= PROGRESS_INTERVAL_MS) {
        reported = now;
        onProgress({ blobBytes, unpackedBytes, entries: reader.headers });
      }
    }
    // The digest speaks before the decoder does: damaged data is told as what it is.
    if (blobBytes !== request.blobSize) throw wrongSize(request, `only ${blobBytes} came`);
    blob.verify("blob", "digest");
    await decoder.end();
    diff.verify("uncompressed archive", "diff ID");
    reader.end();
  } finally {
    decoder.destroy();
  }
  onProgress({ blobBytes, unpackedBytes, entries: reader.headers });
}

/** What the stream may still take from this node. */
class Budget {
  readonly #request: UnpackRequest;
  readonly #kernel: Kernel;
  #nextSpaceCheck = BigInt(SPACE_CHECK_BYTES);

  constructor(request: UnpackRequest, kernel: Kernel) {
    this.#request = request;
    this.#kernel = kernel;
  }

  check(blobBytes: bigint, unpackedBytes: bigint): void {
    const { limits } = this.#request;
    if (unpackedBytes > limits.unpackedBytes) {
      throw exhausted(`it has more than ${limits.unpackedBytes} bytes uncompressed`);
    }
    if (unpackedBytes > limits.ratioAllowanceBytes + limits.ratio * blobBytes) {
      throw exhausted(
        `${blobBytes} compressed bytes became ${unpackedBytes}, which is no ordinary layer`,
      );
    }
    if (unpackedBytes < this.#nextSpaceCheck) return;
    this.#nextSpaceCheck = unpackedBytes + BigInt(SPACE_CHECK_BYTES);
    const stat = this.#kernel.statfs(this.#request.directory);
    if (stat.blocksAvailable * stat.blockSize < limits.reserveBytes) {
      throw exhausted(
        `less than ${limits.reserveBytes} bytes are free on its file system`,
        "remove unused images or add space",
      );
    }
  }
}

/** A running hash and the digest it must come to. */
class CheckedHash {
  readonly #hash: Hash;
  readonly #expected: string;
  readonly #algorithm: string;

  constructor(expected: string) {
    this.#expected = expected;
    this.#algorithm = expected.slice(0, expected.indexOf(":"));
    this.#hash = createHash(this.#algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  verify(what: string, field: string): void {
    const actual = `${this.#algorithm}:${this.#hash.digest("hex")}`;
    if (actual === this.#expected) return;
    throw new InvalidArgumentError(
      `Cannot use the layer: the ${field} of its ${what} is ${actual}, expected ${this.#expected}`,
      { field, value: actual },
    );
  }
}

function wrongSize(request: UnpackRequest, why: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `Cannot use the layer: its manifest says ${request.blobSize} bytes, ${why}`,
    { field: "size", value: String(request.blobSize) },
  );
}

function exhausted(why: string, remedy?: string): ResourceExhaustedError {
  return new ResourceExhaustedError(
    `Cannot unpack the layer: ${why}`,
    remedy === undefined ? {} : { remedy },
  );
}

function diskFull(error: unknown, directory: string): unknown {
  if (!isErrno(error, "ENOSPC", "EDQUOT")) return error;
  return new ResourceExhaustedError("Cannot unpack the layer: the disk is full", {
    path: directory,
    cause: error,
    remedy: "remove unused images or add space",
  });
}
