/**
 * What the CRI cannot say about images, over HTTP on the same socket: pulls with their progress, and
 * images from an archive. Answers are lines of JSON, the last one the result or `{"error": ...}`.
 *
 * @module
 */
import { errorMessage, InvalidArgumentError, SauropodError, shown } from "../errors/mod.ts";
import type { ImageRecord, Images, PullCredentials, PullProgress } from "../image/images.ts";
import type { HttpAnswer, HttpRequest, HttpRoutes } from "./http.ts";
import { checkLength } from "./field_checks.ts";
import { LIMITS } from "./limits.ts";

export interface ImageTransferOptions {
  readonly images: Images;
  /** Where an archive is kept while it arrives; made if missing, private. */
  readonly spoolDirectory: string;
}

/** Credentials and nothing else. */
const BODY_LIMIT_BYTES = 16 * 1024;

/** To be called once at start: archives that a crash left in the spool are removed. */
export function imageTransferRoutes(options: ImageTransferOptions): HttpRoutes {
  try {
    Deno.removeSync(options.spoolDirectory, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return {
    "POST /v1/images/pull": (_, request) => pull(options, request),
    "POST /v1/images/load": (_, request) => load(options, request),
  };
}

/** `?image=REFERENCE`, the credentials as JSON in the body. Leaving does not end the pull. */
async function pull({ images }: ImageTransferOptions, request: HttpRequest): Promise<HttpAnswer> {
  const reference = parameter(request, "image");
  if (reference === undefined) {
    throw new InvalidArgumentError("image is missing", { field: "image" });
  }
  const credentials = await credentialsOf(request);
  return streamed(async (write) => {
    const record = await images.pull({
      reference,
      namespace: "",
      signal: request.signal,
      onProgress: (progress) => write({ progress: progressJson(progress) }),
      ...(credentials === undefined ? {} : { credentials }),
    });
    write({ image: imageJson(record) });
  });
}

/** `?path=` of an archive or folder on this node, or the archive as the body; `&reference=` names it. */
function load(options: ImageTransferOptions, request: HttpRequest): HttpAnswer {
  const path = parameter(request, "path");
  const reference = parameter(request, "reference");
  if (path !== undefined && !path.startsWith("/")) {
    throw new InvalidArgumentError(`path ${shown(path)} is not absolute`, { field: "path" });
  }
  return streamed(async (write) => {
    await using archive = path === undefined
      ? await spool(options.spoolDirectory, request)
      : { path, [Symbol.asyncDispose]: () => Promise.resolve() };
    const records = await options.images.load({
      path: archive.path,
      ...(reference === undefined ? {} : { reference }),
    });
    for (const record of records) write({ image: imageJson(record) });
  });
}

function parameter({ query }: HttpRequest, name: string): string | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  checkLength(name, value, LIMITS.path);
  if (!value.includes("\0")) return value;
  throw new InvalidArgumentError(`${name} holds a NUL`, { field: name });
}

async function credentialsOf({ body }: HttpRequest): Promise<PullCredentials | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > BODY_LIMIT_BYTES) {
      throw new InvalidArgumentError(`The request is longer than ${BODY_LIMIT_BYTES} bytes`);
    }
  }
  if (text === "") return undefined;
  // The text holds a password: it may not be part of any message.
  const wrong = () => new InvalidArgumentError("The body is not {username, password} as JSON");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong();
  }
  const { username, password } = Object(value) as Record<string, unknown>;
  if (typeof username !== "string" || typeof password !== "string") throw wrong();
  return { username, password };
}

/** A file with what the client sends, gone when disposed. */
async function spool(
  directory: string,
  { body, signal }: HttpRequest,
): Promise<AsyncDisposable & { readonly path: string }> {
  await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
  const path = await Deno.makeTempFile({ dir: directory, prefix: "archive-" });
  const remove = () => Deno.remove(path);
  try {
    using file = await Deno.open(path, { write: true });
    for await (const chunk of body) {
      for (let rest = chunk; rest.length > 0;) rest = rest.subarray(await file.write(rest));
    }
    signal.throwIfAborted();
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, [Symbol.asyncDispose]: remove };
}

type Write = (line: unknown) => void;

/** An answer whose lines come while `work` goes on; its failure is the last line. */
function streamed(work: (write: Write) => Promise<void>): HttpAnswer {
  const { readable, writable } = new TransformStream<string, string>(undefined, {
    highWaterMark: Infinity,
  });
  const writer = writable.getWriter();
  const write: Write = (line) => {
    // Nobody reads any more: the work goes on for the next client that asks.
    writer.write(`${JSON.stringify(line)}\n`).catch(() => {});
  };
  work(write)
    .catch((error: unknown) => write({ error: described(error) }))
    .finally(() => writer.close().catch(() => {}));
  return { contentType: "application/x-ndjson", body: readable };
}

function described(error: unknown): string {
  const remedy = error instanceof SauropodError ? error.details.remedy : undefined;
  return remedy === undefined ? errorMessage(error) : `${errorMessage(error)}: ${remedy}`;
}

function imageJson({ id, repoTags, repoDigests }: ImageRecord): unknown {
  return { id, repoTags, repoDigests };
}

function progressJson({ layers }: PullProgress): unknown {
  return {
    layers: layers.map(({ digest, sizeBytes, state, progress }) => ({
      digest,
      state,
      sizeBytes: String(sizeBytes),
      fetchedBytes: String(progress?.blobBytes ?? 0n),
      unpackedBytes: String(progress?.unpackedBytes ?? 0n),
      entries: progress?.entries ?? 0,
    })),
  };
}
