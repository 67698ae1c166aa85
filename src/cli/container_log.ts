/**
 * Reads a container's log in the CRI format: its last lines, and what is still written, over
 * rotations of the file.
 *
 * @see https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 * @module
 */

/** One entry: a line, or a piece of one. */
export interface LogEntry {
  /** RFC 3339, as written. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** False for a piece whose line goes on in the next entry of the stream. */
  readonly complete: boolean;
  /** Without the end of line. */
  readonly content: Uint8Array;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const BLOCK_BYTES = 64 * 1024;
/** conmon cuts lines at 8 KiB; a damaged file must not fill the memory. */
const LINE_LIMIT_BYTES = 1 << 20;

/** The entry of one line of the file, undefined if the line has another form. */
export function parseEntry(line: Uint8Array): LogEntry | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  if (first <= 0 || second < 0) return undefined;
  const third = line.indexOf(SPACE, second + 1);
  const end = third < 0 ? line.length : third;
  const text = (from: number, to: number) => new TextDecoder().decode(line.subarray(from, to));
  const stream = text(first + 1, second);
  // Tags after the first are for later versions of the format.
  const [tag] = text(second + 1, end).split(":");
  if ((stream !== "stdout" && stream !== "stderr") || (tag !== "F" && tag !== "P")) {
    return undefined;
  }
  return {
    time: text(0, first),
    stream,
    complete: tag === "F",
    content: third < 0 ? new Uint8Array() : line.subarray(third + 1),
  };
}

/** Cuts a byte stream into lines; keeps what has no end of line yet. */
export class LineCutter {
  #rest = new Uint8Array();

  /** The lines that `chunk` completes. */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      yield bytes.subarray(from, at);
      from = at + 1;
    }
    const rest = bytes.subarray(from);
    this.#rest = rest.length > LINE_LIMIT_BYTES ? new Uint8Array() : rest.slice();
  }

  /** What is left without an end of line, and forgets it. */
  end(): Uint8Array {
    const rest = this.#rest;
    this.#rest = new Uint8Array();
    return rest;
  }
}

export interface FollowOptions {
  readonly path: string;
  /** Only the last so many lines of what is there. */
  readonly tail?: number;
  /**
   * Goes on as the file grows. Asked each time a writer has closed the file: true ends it once all
   * has been read.
   */
  readonly until?: () => Promise<boolean>;
  readonly signal?: AbortSignal;
}

/**
 * The entries of a log, oldest first.
 *
 * @throws {Deno.errors.NotFound} there is no such file
 */
export async function* readLog(options: FollowOptions): AsyncGenerator<LogEntry> {
  const { path, tail, until, signal } = options;
  // Watching begins before reading, so that nothing written between the two goes unseen.
  using changes = until === undefined ? undefined : new Changes(path, signal);
  let file = await Deno.open(path, { read: true });
  try {
    if (tail !== undefined) await file.seek(await tailOffset(file, tail), Deno.SeekMode.Start);
    const cutter = new LineCutter();
    let ended = false;
    while (signal?.aborted !== true) {
      yield* entriesOf(file, cutter);
      if (changes === undefined || until === undefined) return;
      const next = await successor(path, file);
      if (next !== undefined) {
        // What was written between the last read and the rename.
        yield* entriesOf(file, cutter);
        file.close();
        file = next;
        continue;
      }
      if (ended) return;
      if (changes.closedSinceAsked()) {
        ended = await until();
        // The file may have been rotated while that was asked: one more round reads all there is.
        if (ended) continue;
        changes.askAgain();
      }
      await changes.next();
    }
  } finally {
    file.close();
  }
}

async function* entriesOf(file: Deno.FsFile, cutter: LineCutter): AsyncGenerator<LogEntry> {
  const buffer = new Uint8Array(BLOCK_BYTES);
  for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
    for (const line of cutter.push(buffer.subarray(0, count))) {
      const entry = parseEntry(line);
      if (entry !== undefined) yield entry;
    }
  }
}

/** The file now at the path, if it is another one than `file`. */
async function successor(path: string, file: Deno.FsFile): Promise<Deno.FsFile | undefined> {
  let next: Deno.FsFile;
  try {
    next = await Deno.open(path, { read: true });
  } catch (error) {
    // Between the rename and the new file; its creation is an event.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const [now, then] = [await next.stat(), await file.stat()];
  if (now.ino !== then.ino || now.dev !== then.dev) return next;
  next.close();
  // Cut down in place: what is there now is new.
  const at = await file.seek(0, Deno.SeekMode.Current);
  if (now.size < at) await file.seek(0, Deno.SeekMode.Start);
  return undefined;
}

/** Where the last `count` complete lines begin; reads backwards, block by block. */
async function tailOffset(file: Deno.FsFile, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count <= 0) return size;
  let end = size;
  let carried = new Uint8Array();
  let found = 0;
  let offset = size;
  while (end > 0) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const bytes = new Uint8Array(end - start + carried.length);
    await file.seek(start, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < end - start) {
      const read = await file.read(bytes.subarray(filled, end - start));
      if (read === null) return 0;
      filled += read;
    }
    bytes.set(carried, end - start);
    let lineEnd = bytes.length;
    for (let at = bytes.lastIndexOf(NEWLINE, lineEnd - 1); at >= 0;) {
      const line = bytes.subarray(at + 1, lineEnd);
      if (line.length > 0 && parseEntry(line)?.complete === true) {
        found += 1;
        // Pieces before this line belong to it, so it begins after the line before it that is whole.
        if (found > count) return offset;
      }
      if (found >= 1 && (line.length > 0)) offset = start + at + 1;
      lineEnd = at;
      at = at === 0 ? -1 : bytes.lastIndexOf(NEWLINE, at - 1);
    }
    carried = bytes.slice(0, lineEnd);
    if (carried.length > LINE_LIMIT_BYTES) return offset;
    end = start;
  }
  if (carried.length > 0 && parseEntry(carried)?.complete === true && found >= count) return offset;
  return 0;
}

/** Changes in the log's directory, as something to wait for. */
class Changes implements Disposable {
  readonly #watcher: Deno.FsWatcher;
  readonly #path: string;
  readonly #onAbort: () => void;
  readonly #signal: AbortSignal | undefined;
  #pending = true;
  #closed = true;
  #ended = false;
  #asks = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | undefined;

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    this.#watcher = Deno.watchFs(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: false });
    this.#onAbort = () => {
      this.#ended = true;
      this.#notify();
    };
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#run();
  }

  async #run(): Promise<void> {
    for await (const event of this.#watcher) {
      // "access" is what a writer's close comes as; a rescan may have swallowed one.
      if (event.kind === "access" || event.flag === "rescan") {
        this.#closed = true;
        this.#asks = 0;
      }
      if (event.flag === "rescan" || event.paths.includes(this.#path)) this.#notify();
      else if (event.kind === "access") this.#notify();
    }
    this.#ended = true;
    this.#notify();
  }

  #notify(): void {
    this.#pending = true;
    this.#wake?.();
  }

  /** True once after each close of a file in the directory, and at the first call. */
  closedSinceAsked(): boolean {
    const closed = this.#closed;
    this.#closed = false;
    return closed;
  }

  /**
   * The writer closed the file a moment before the server knows that the container has ended: has
   * the question asked again for two seconds.
   */
  askAgain(): void {
    if (this.#asks++ >= 20) return;
    this.#timer = setTimeout(() => {
      this.#closed = true;
      this.#notify();
    }, 100);
  }

  /** Resolves at the next change, at once if one came since the last call. */
  async next(): Promise<void> {
    if (!this.#pending && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    this.#wake = undefined;
    this.#pending = false;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#watcher.close();
  }
}
