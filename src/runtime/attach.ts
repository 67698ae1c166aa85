/**
 * Clients of containers' own streams: one connection to a container's monitor for all of its clients.
 *
 * The monitor waits for each of its readers, and the container and its log with it. So the connection is
 * always drained; what a client has not taken waits in its own queue, up to a limit.
 *
 * ```text
 *  container ── monitor ── connection ─┬─ queue ── client
 *                                      └─ queue ── client
 * ```
 *
 * @module
 */
import type { Socket } from "node:net";
import {
  CancelledError,
  FailedPreconditionError,
  isErrno,
  ResourceExhaustedError,
  UnavailableError,
} from "../errors/mod.ts";
import type { ByteSink, ContainerId, TerminalSize } from "../model/mod.ts";
import {
  adoptStream,
  AF_UNIX,
  type Kernel,
  O_NONBLOCK,
  O_WRONLY,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
} from "../sys/mod.ts";
import { consume, writeTo } from "./client_streams.ts";
import { monitorFiles } from "./conmon_arguments.ts";
import type { AttachRequest, ContainerPlace } from "./containers_runtime.ts";

/** So much of its container's output may wait for a client, with what stands around each packet. */
export const BEHIND_LIMIT_BYTES = 4 << 20;
/** Objects around a packet that waits: a container may write byte by byte. */
const PIECE_OVERHEAD_BYTES = 256;
/** The first byte of a packet. */
const STDOUT = 2;
const STDERR = 3;
/** conmon cuts what is longer than 32 KiB; its own packets have this much. */
const PACKET_BYTES = 8192;
/** At most this much of a queue goes to the client at once. */
const WRITE_BYTES = 64 * 1024;
/** conmon refuses a larger terminal, and what comes in the same read with it. */
const TERMINAL_SIDE_LIMIT = 1000;

export class Attachments implements Disposable {
  readonly #kernel: Kernel;
  readonly #connections = new Map<ContainerId, Connection>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** See {@link import("./containers_runtime.ts").ContainerRuntime.attach}. */
  async attach(request: AttachRequest): Promise<void> {
    const { place, terminal, streams } = request;
    if (streams.signal.aborted) return;
    const connection = this.#connectionTo(request);
    const client = new Client(place.id, terminal ? { ...streams, stderr: undefined } : streams);
    const over = new AbortController();
    const onAbort = () => client.leave();
    streams.signal.addEventListener("abort", onAbort, { once: true });
    connection.join(client);
    try {
      if (streams.stdin !== undefined) {
        this.#feed(request, streams.stdin, connection, over.signal).catch(() => client.leave());
      }
      if (terminal && streams.resizes !== undefined) {
        consume(streams.resizes, over.signal, (size) => {
          resizeTerminal(this.#kernel, place, size);
          return true;
        }).catch(() => client.leave());
      }
      await client.finished;
    } finally {
      over.abort();
      streams.signal.removeEventListener("abort", onAbort);
      connection.part(client);
      if (streams.stdin !== undefined && closesStdin(request)) connection.endStdin();
    }
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #connectionTo(request: AttachRequest): Connection {
    const { place } = request;
    const known = this.#connections.get(place.id);
    if (known !== undefined) return known;
    const connection = new Connection(connect(this.#kernel, place), {
      // A monitor that closes standard input with its reader must not lose this one.
      keep: closesStdin(request),
      onClose: () => {
        if (this.#connections.get(place.id) === connection) this.#connections.delete(place.id);
      },
    });
    this.#connections.set(place.id, connection);
    return connection;
  }

  /** Input of several clients mixes as it comes. */
  async #feed(
    request: AttachRequest,
    source: AsyncIterable<Uint8Array>,
    connection: Connection,
    signal: AbortSignal,
  ): Promise<void> {
    const takes = request.stdin || request.terminal;
    const ended = await consume(source, signal, async (bytes) => {
      // A container without standard input: the monitor would not read on after the first packet.
      if (takes) await connection.write(bytes);
      return true;
    });
    if (ended && closesStdin(request)) connection.endStdin();
  }
}

/** True for a container whose standard input ends with its first client's. */
function closesStdin({ terminal, stdin, stdinOnce }: AttachRequest): boolean {
  return stdin && stdinOnce && !terminal;
}

function connect(kernel: Kernel, { id, bundle }: ContainerPlace): Socket {
  using socket = kernel.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
  try {
    kernel.connectUnix(socket.number, monitorFiles(bundle).attach);
  } catch (error) {
    if (isErrno(error, "EAGAIN")) {
      throw new UnavailableError(`The monitor of container ${id} does not answer`, { id });
    }
    if (!isErrno(error, "ENOENT", "ECONNREFUSED")) throw error;
    throw new FailedPreconditionError(
      `Container ${id} cannot be attached to, because its monitor is gone`,
      { id, cause: error },
    );
  }
  return adoptStream(socket);
}

/** Tells the monitor, which has the terminal. Of what it cannot take now the next size makes up. */
function resizeTerminal(kernel: Kernel, { bundle }: ContainerPlace, size: TerminalSize): void {
  const [rows, columns] = [size.rows, size.columns].map((n) => Math.min(n, TERMINAL_SIDE_LIMIT));
  try {
    using control = kernel.open(monitorFiles(bundle).control, O_WRONLY | O_NONBLOCK);
    kernel.write(control.number, new TextEncoder().encode(`1 ${rows} ${columns}\n`));
  } catch (error) {
    if (!isErrno(error, "ENXIO", "ENOENT", "EPIPE", "EAGAIN")) throw error;
  }
}

/** The connection to one container's monitor. */
class Connection {
  readonly #socket: Socket;
  readonly #keep: boolean;
  readonly #onClose: () => void;
  readonly #clients = new Set<Client>();
  /** One packet at a time: Node joins what is queued. */
  #lastWrite: Promise<unknown> = Promise.resolve();
  #stdinEnded = false;

  constructor(socket: Socket, { keep, onClose }: {
    readonly keep: boolean;
    readonly onClose: () => void;
  }) {
    this.#socket = socket;
    this.#keep = keep;
    this.#onClose = onClose;
    socket.on("data", (packet: Uint8Array) => this.#receive(packet));
    socket.on("error", () => {}); // its close follows
    const end = () => {
      onClose();
      for (const client of this.#clients) client.end();
    };
    socket.once("end", end);
    socket.once("close", end);
  }

  join(client: Client): void {
    this.#clients.add(client);
    if (this.#socket.destroyed || this.#socket.readableEnded) client.end();
  }

  /**
   * The last client's going does not close the connection: a monitor notices that only at its next
   * write, and would collect a descriptor for each client of a quiet container.
   */
  part(client: Client): void {
    this.#clients.delete(client);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
      const packet = bytes.subarray(at, at + PACKET_BYTES);
      const mine = this.#lastWrite.then(() =>
        this.#stdinEnded ? false : writeTo(this.#socket, packet)
      );
      this.#lastWrite = mine;
      await mine;
    }
  }

  /** Ends the container's standard input, after what has been written to it. */
  endStdin(): void {
    if (this.#stdinEnded) return;
    void this.#lastWrite.then(() => {
      if (this.#stdinEnded) return;
      this.#stdinEnded = true;
      this.#socket.end();
    });
  }

  /** Who comes from now on gets a new connection; the socket's own events are a turn too late for that. */
  close(): void {
    this.#onClose();
    this.#socket.destroy();
  }

  #receive(packet: Uint8Array): void {
    if (this.#clients.size === 0 && !this.#keep) return this.close();
    const stream = packet[0];
    if (stream !== STDOUT && stream !== STDERR) return;
    for (const client of this.#clients) client.push(stream, packet.subarray(1));
  }
}

interface Piece {
  readonly stream: number;
  readonly bytes: Uint8Array;
}

/** Pieces of one stream together, and what they took in the queue. */
interface Taken extends Piece {
  readonly heldBytes: number;
}

/** One client with the output that it has not taken yet. */
class Client {
  /** Resolves when everything was written after {@link end}, or the client has gone. */
  readonly finished: Promise<void>;
  readonly #id: ContainerId;
  readonly #sinks: ReadonlyMap<number, ByteSink>;
  readonly #settle = Promise.withResolvers<void>();
  readonly #queue: Piece[] = [];
  /** With what stands around each piece. */
  #heldBytes = 0;
  #ended = false;
  #writing = false;
  #over = false;

  constructor(id: ContainerId, { stdout, stderr }: {
    readonly stdout: ByteSink | undefined;
    readonly stderr: ByteSink | undefined;
  }) {
    this.#id = id;
    this.#sinks = new Map([
      ...(stdout === undefined ? [] : [[STDOUT, stdout] as const]),
      ...(stderr === undefined ? [] : [[STDERR, stderr] as const]),
    ]);
    this.finished = this.#settle.promise;
    this.finished.catch(() => {});
  }

  /** The bytes are shared with other clients. */
  push(stream: number, bytes: Uint8Array): void {
    if (this.#over || !this.#sinks.has(stream)) return;
    const heldBytes = this.#heldBytes + bytes.length + PIECE_OVERHEAD_BYTES;
    if (heldBytes > BEHIND_LIMIT_BYTES) {
      this.#finish(
        new ResourceExhaustedError(
          `The client reads too slowly: what container ${this.#id} has written and it has not taken ` +
            `fills ${BEHIND_LIMIT_BYTES >> 20} MiB, and it is cut off`,
          { id: this.#id, remedy: "attach again, or read the log" },
        ),
      );
      return;
    }
    this.#queue.push({ stream, bytes });
    this.#heldBytes = heldBytes;
    void this.#write();
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    void this.#write();
  }

  /** The client has gone. */
  leave(): void {
    this.#finish(new CancelledError("gone"));
  }

  async #write(): Promise<void> {
    if (this.#writing || this.#over) return;
    this.#writing = true;
    try {
      for (let next = this.#take(); next !== undefined; next = this.#take()) {
        await this.#sinks.get(next.stream)?.write(next.bytes);
        if (this.#over) return;
        this.#heldBytes -= next.heldBytes;
      }
      if (!this.#ended) return;
      for (const sink of this.#sinks.values()) await sink.end();
      this.#finish();
    } catch {
      this.leave();
    } finally {
      this.#writing = false;
    }
  }

  /** The next bytes of one stream, in one piece of memory that is the client's own. */
  #take(): Taken | undefined {
    const stream = this.#queue[0]?.stream;
    if (stream === undefined) return undefined;
    let [count, length] = [0, 0];
    for (const piece of this.#queue) {
      if (piece.stream !== stream || (count > 0 && length + piece.bytes.length > WRITE_BYTES)) {
        break;
      }
      count++;
      length += piece.bytes.length;
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of this.#queue.splice(0, count)) {
      bytes.set(piece.bytes, at);
      at += piece.bytes.length;
    }
    return { stream, bytes, heldBytes: length + count * PIECE_OVERHEAD_BYTES };
  }

  #finish(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#queue.length = 0;
    if (error === undefined || error instanceof CancelledError) this.#settle.resolve();
    else this.#settle.reject(error);
  }
}
