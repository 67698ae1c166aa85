/**
 * Port-forward: a client's bytes to a TCP port on the loopback of a pod's network namespace and back.
 * No program runs for it, in the pod or beside it.
 *
 * @module
 */
import {
  CancelledError,
  DeadlineExceededError,
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  isErrno,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import type { ByteSink, ByteSource, SandboxId } from "../model/mod.ts";
import type { ByteDescriptor } from "../sys/byte_descriptors.ts";
import type { TcpConnector } from "../sys/tcp_connections.ts";
import type { PodRegistry } from "./registry.ts";
import { SessionCount } from "./session_count.ts";
import type { SandboxRecord } from "./sandbox.ts";
import type { StreamService } from "./streams.ts";

export interface PortForwardsOptions {
  readonly registry: Pick<PodRegistry, "requireSandbox">;
  readonly connections: TcpConnector;
  /** From the use of a URL to a connection that is made; 10 s by default. */
  readonly connectDeadlineMs?: number;
}

export interface ForwardedStreams {
  readonly source: ByteSource;
  readonly sink: ByteSink;
  /** Aborted when the client gives up this connection alone, where its protocol can say so behind the source's end. */
  readonly lost?: AbortSignal;
}

/** A program whose queue of connections is full gets so long to take one. */
const CONNECT_DEADLINE_MS = 10_000;
/** Connections to ports of pods, of all sessions together: each is a descriptor and a socket in a pod. */
export const FORWARDED_LIMIT = 1_024;
/** In the order in which a program is looked for, as `localhost` is for most resolvers. */
const LOOPBACKS = ["127.0.0.1", "::1"] as const;
/** Nobody there, or no such family in the namespace. */
const NOBODY = ["ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"] as const;

export class PortForwards implements Pick<StreamService, "checkPortForward" | "portForward"> {
  readonly #options: PortForwardsOptions;
  readonly #connections = new SessionCount("forwarded connections", FORWARDED_LIMIT);
  readonly #running = new Map<SandboxId, Set<AbortController>>();

  constructor(options: PortForwardsOptions) {
    this.#options = options;
  }

  checkPortForward(sandbox: string): SandboxId {
    return this.#requireReady(sandbox).id;
  }

  async portForward(
    sandbox: SandboxId,
    port: number,
    streams: ForwardedStreams,
    signal: AbortSignal,
  ): Promise<void> {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new InvalidArgumentError(`port ${shown(port)} is not a TCP port from 1 to 65535`, {
        field: "port",
        value: String(port),
      });
    }
    const record = this.#requireReady(sandbox);
    using _connection = this.#connections.enter();
    const ending = new AbortController();
    const running = this.#running.get(record.id) ?? new Set();
    this.#running.set(record.id, running.add(ending));
    const ended = AbortSignal.any([signal, ending.signal]);
    const what = `port ${port} of pod ${nameOf(record)}`;
    try {
      using pod = await this.#connect(record, { port, what, ended });
      await copyBoth(pod, streams, { what, ended });
    } finally {
      running.delete(ending);
      if (running.size === 0 && this.#running.get(record.id) === running) {
        this.#running.delete(record.id);
      }
    }
  }

  /** Of a sandbox that is being stopped: its namespace shall be free. */
  end(sandbox: SandboxId): void {
    for (const forward of this.#running.get(sandbox) ?? []) {
      forward.abort(
        new UnavailableError(`Sandbox ${sandbox} is being stopped`, { id: sandbox }),
      );
    }
  }

  #requireReady(idOrPrefix: string): SandboxRecord {
    const record = this.#options.registry.requireSandbox(idOrPrefix);
    if (record.state.kind !== "ready") {
      throw new FailedPreconditionError(
        `Sandbox ${record.id} is ${record.state.kind}: none of its ports can be reached`,
        { id: record.id, field: "pod_sandbox_id" },
      );
    }
    return record;
  }

  async #connect(
    { id, namespaces: { net } }: SandboxRecord,
    { port, what, ended }: { readonly port: number } & Forward,
  ): Promise<ByteDescriptor> {
    const { connections, connectDeadlineMs = CONNECT_DEADLINE_MS } = this.#options;
    const netnsPath = net.kind === "pinned" ? net.path : undefined;
    const deadline = AbortSignal.timeout(connectDeadlineMs);
    const signal = AbortSignal.any([ended, deadline]);
    let refused: unknown;
    for (const address of LOOPBACKS) {
      try {
        return await connections.connect({ netnsPath, address, port }, signal);
      } catch (error) {
        if (ended.aborted) throw reasonOf(ended);
        if (deadline.aborted) {
          throw new DeadlineExceededError(
            `Nothing took a connection to ${what} within ${connectDeadlineMs} ms`,
            { id },
          );
        }
        if (!isErrno(error, ...NOBODY)) throw error;
        refused ??= error;
      }
    }
    throw new UnavailableError(
      `Nothing listens on ${what}, neither on ${LOOPBACKS.join(" nor ")}`,
      {
        id,
        cause: refused,
        remedy: "forward a port that a container of the pod listens on",
      },
    );
  }
}

interface Forward {
  /** For messages: port and pod. */
  readonly what: string;
  readonly ended: AbortSignal;
}

/**
 * Resolves when both directions have ended, or the client has left. It does so in order, too: kubectl's
 * resets what it sends as soon as the pod has ended its half.
 */
async function copyBoth(
  pod: ByteDescriptor,
  { source, sink, lost }: ForwardedStreams,
  { what, ended }: Forward,
): Promise<void> {
  const client = source[Symbol.asyncIterator]();
  const left = Promise.withResolvers<void>();
  left.promise.catch(() => {}); // it is raced for below, or nobody left
  const clientLeft = (error: unknown): false => {
    if (!(error instanceof UnavailableError)) throw error;
    left.resolve();
    return false;
  };
  const aborted = () => left.reject(reasonOf(ended));
  ended.addEventListener("abort", aborted, { once: true });
  if (ended.aborted) aborted();
  const givenUp = () => left.resolve();
  lost?.addEventListener("abort", givenUp, { once: true });
  if (lost?.aborted) givenUp();
  let podHasEnded = false;
  const broken = (cause: unknown) =>
    new UnavailableError(`The connection to ${what} broke off: ${errorMessage(cause)}`, { cause });

  const read = async () => {
    try {
      return await pod.read();
    } catch (error) {
      // The reset of a program that had ended its half before.
      if (isErrno(error, "EPIPE")) return undefined;
      throw broken(error);
    }
  };
  const toPod = async () => {
    for (;;) {
      const next = await client.next().catch(clientLeft);
      if (next === false) return;
      if (next.done === true) break;
      try {
        if (!await pod.write(next.value)) return;
      } catch (error) {
        // A program that has said all and closed answers what comes after with a reset.
        if (!podHasEnded) throw broken(error);
        return;
      }
    }
    // Only our half: what the pod still has to say comes through.
    pod.endWriting();
  };
  const fromPod = async () => {
    for (let chunk = await read(); chunk !== undefined; chunk = await read()) {
      if (await sink.write(chunk).catch(clientLeft) === false) return;
    }
    podHasEnded = true;
    await sink.end().catch(clientLeft);
  };
  try {
    await Promise.race([Promise.all([toPod(), fromPod()]), left.promise]);
  } finally {
    ended.removeEventListener("abort", aborted);
    lost?.removeEventListener("abort", givenUp);
    // What it lent is in use for as long as the connection is open. A client that sends nothing is not
    // waited for; whoever owns the source ends it.
    pod.close();
    void Promise.resolve(client.return?.()).catch(() => {});
  }
}

function reasonOf(signal: AbortSignal): Error {
  const { reason } = signal;
  return reason instanceof Error ? reason : new CancelledError("The client has gone away");
}

function nameOf({ config: { metadata } }: SandboxRecord): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}
