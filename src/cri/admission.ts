/**
 * Bounds the calls under way. Each holds memory and may hold a thread, a descriptor or a process, so
 * a client that repeats without end must not take the node's other clients down.
 *
 * @module
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerListener,
} from "@grpc/grpc-js";
import { ResourceExhaustedError } from "../errors/mod.ts";
import { grpcStatus } from "./grpc_status.ts";
import { ALWAYS_SERVED, type Limit, LIMITS } from "./limits.ts";

export interface AdmissionLimits {
  readonly total: Limit;
  readonly perConnection: Limit;
}

/** Counts one call until it is disposed of; disposing twice counts once. */
export type Permit = Disposable;

/** Counts the calls of one server. */
export class Admission {
  readonly #limits: AdmissionLimits;
  #total = 0;
  readonly #byConnection = new Map<number, number>();
  /** Of calls whose handler has not been called yet, by what both sides of the library know them. */
  readonly #waiting = new WeakMap<Metadata, Permit>();

  constructor(
    limits: AdmissionLimits = { total: LIMITS.calls, perConnection: LIMITS.callsPerConnection },
  ) {
    this.#limits = limits;
  }

  /** Calls under way. */
  get total(): number {
    return this.#total;
  }

  /** Connections that have calls under way. */
  get connections(): number {
    return this.#byConnection.size;
  }

  /** @throws {ResourceExhaustedError} as many calls as may be are under way */
  enter(connection: number): Permit {
    const ofConnection = this.#byConnection.get(connection) ?? 0;
    refuseOver(ofConnection, this.#limits.perConnection);
    refuseOver(this.#total, this.#limits.total);
    this.#total++;
    this.#byConnection.set(connection, ofConnection + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#total--;
        const left = (this.#byConnection.get(connection) ?? 1) - 1;
        if (left === 0) this.#byConnection.delete(connection);
        else this.#byConnection.set(connection, left);
      },
    };
  }

  /**
   * The permit of a call that reached its handler. It is held until the handler has ended, also when
   * the client has gone: its work goes on.
   */
  claim(metadata: Metadata): Permit | undefined {
    const permit = this.#waiting.get(metadata);
    this.#waiting.delete(metadata);
    return permit;
  }

  /** Asks before a call's message is read, so that what is refused takes no memory. */
  interceptor(): ServerInterceptor {
    return ({ path }, call) =>
      new ServerInterceptingCall(call, {
        start: (next) => {
          let arrived: Metadata | undefined;
          const listener: ServerListener = {
            onReceiveMetadata: (metadata, proceed) => {
              if (!ALWAYS_SERVED.has(path.slice(path.lastIndexOf("/") + 1))) {
                try {
                  const connection = call.getConnectionInfo().remotePort ?? 0;
                  this.#waiting.set(metadata, this.enter(connection));
                  arrived = metadata;
                } catch (error) {
                  call.sendStatus(grpcStatus(error));
                  return;
                }
              }
              proceed(metadata);
            },
            onCancel: () => {
              if (arrived !== undefined) this.claim(arrived)?.[Symbol.dispose]();
            },
          };
          next(listener);
        },
      });
  }
}

function refuseOver(underWay: number, { name, max, reason }: Limit): void {
  if (underWay < max) return;
  throw new ResourceExhaustedError(
    `${underWay} calls are under way, as many as the limit "${name}" allows: ${reason}`,
    { remedy: "repeat the call when others have been answered" },
  );
}
