/** A container in memory, to try protocols on. @module */
import { UnavailableError } from "../errors/mod.ts";
import {
  type ClientStreams,
  type ContainerId,
  parseContainerId,
  parseSandboxId,
  type SandboxId,
  SystemClock,
  type TerminalSize,
} from "../model/mod.ts";
import type { ExecSession, StreamService } from "../pod/mod.ts";
import { ByteDescriptors, createLinuxKernel } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { StreamingServer, type StreamingServerOptions } from "./server.ts";

export const CONTAINER: ContainerId = parseContainerId("c".repeat(64));
export const SANDBOX: SandboxId = parseSandboxId("5".repeat(64));
/** Nothing listens there. */
export const CLOSED_PORT = 1;
/** What listens there says a word and closes. */
export const CLOSING_PORT = 2;

/**
 * Runs `cat`, which copies its input; `yes N`, which writes N bytes; `exit N`; `wait`, which ends with
 * its client; `sizes N`, which writes N sizes of its terminal; `deaf`, which reads nothing.
 */
export class TestService implements StreamService {
  readonly sessions: ExecSession[] = [];
  /** Resolves when the first session has begun. */
  readonly begun: Promise<void>;
  readonly #begun: () => void;
  /** Resolves with the reason for which the first session's client went. */
  readonly gone: Promise<unknown>;
  readonly #gone: (reason: unknown) => void;

  constructor() {
    ({ promise: this.begun, resolve: this.#begun } = Promise.withResolvers<void>());
    ({ promise: this.gone, resolve: this.#gone } = Promise.withResolvers<unknown>());
  }

  checkExec = (): ContainerId => CONTAINER;
  checkAttach = () => ({ container: CONTAINER, terminal: false });
  checkPortForward = (): SandboxId => SANDBOX;

  async exec(session: ExecSession, streams: ClientStreams): Promise<number> {
    this.sessions.push(session);
    this.#begun();
    streams.signal.addEventListener("abort", () => this.#gone(streams.signal.reason));
    const [command, argument] = session.args;
    const number = Number(argument ?? 0);
    switch (command) {
      case "cat":
        for await (const chunk of streams.stdin ?? []) await streams.stdout?.write(chunk);
        await streams.stderr?.write(new TextEncoder().encode("done"));
        return number;
      case "yes":
        for (let left = number; left > 0; left -= 65_536) {
          await streams.stdout?.write(new Uint8Array(Math.min(left, 65_536)).fill(0x79));
        }
        return 0;
      case "sizes": {
        const sizes: TerminalSize[] = [];
        for await (const size of streams.resizes ?? []) {
          sizes.push(size);
          await streams.stdout?.write(
            new TextEncoder().encode(`${size.columns}x${size.rows} `),
          );
          if (sizes.length === number) break;
        }
        return 0;
      }
      case "deaf":
      case "wait":
        await aborted(streams.signal);
        throw new UnavailableError("killed");
      case "fail":
        throw new UnavailableError("no such program");
      default:
        return number;
    }
  }

  async attach(_container: ContainerId, streams: ClientStreams): Promise<void> {
    await this.exec({ container: CONTAINER, args: ["cat"], terminal: false }, streams);
  }

  async portForward(
    _sandbox: SandboxId,
    port: number,
    { source, sink }: Parameters<StreamService["portForward"]>[2],
  ): Promise<void> {
    if (port === CLOSED_PORT) throw new UnavailableError("connection refused");
    if (port === CLOSING_PORT) {
      await sink.write(new TextEncoder().encode("bye"));
      await sink.end();
    }
    for await (const chunk of source) await sink.write(chunk);
    await sink.end();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

const kernel = createLinuxKernel();
/** For all servers of a test file, as a node has them. */
const descriptors = new ByteDescriptors(kernel);

/** A server on a free port of the loopback address. */
export function testServer(
  service: StreamService,
  options: Partial<StreamingServerOptions> = {},
): Promise<StreamingServer> {
  return StreamingServer.listen({
    address: "127.0.0.1",
    port: 0,
    tls: undefined,
    idleTimeoutMs: 0,
    service,
    fileWatcher: {
      watchDirectory: () => ({ [Symbol.dispose]: () => {} }),
      [Symbol.dispose]: () => {},
    },
    kernel,
    descriptors,
    clock: new SystemClock(),
    log: silentLogger,
    ...options,
  });
}
