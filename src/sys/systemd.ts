/**
 * Units of the systemd that runs this node, over D-Bus on its private socket: for root, and there as
 * long as systemd is, whether or not a message bus runs.
 *
 * @module
 */
import {
  CancelledError,
  FailedPreconditionError,
  type SauropodError,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import { DBusPeer } from "./dbus_peer.ts";

/** What this runtime asks of systemd. Each call resolves when its job is done. */
export interface SystemdUnits {
  /**
   * Makes a scope of a process that runs already; the process is in the scope's cgroup when this
   * resolves. The scope goes with its last process.
   *
   * @throws {FailedPreconditionError} systemd refused: its own words
   * @throws {UnavailableError} systemd does not answer
   */
  startScope(scope: TransientScope, signal: AbortSignal): Promise<void>;
  /** Makes a slice, with those above it. Succeeds if it is there. Errors as of a scope. */
  startSlice(name: string, signal: AbortSignal): Promise<void>;
  /** Ends a unit with everything in it. Succeeds if there is none. Errors as of a scope. */
  stop(name: string, signal: AbortSignal): Promise<void>;
}

export interface TransientScope {
  readonly name: string;
  readonly slice: string;
  readonly description: string;
  readonly pid: number;
}

/** A property of a unit: its name, and a signature with a value of it. */
type Property = readonly [name: string, value: readonly [signature: string, value: unknown]];

const PRIVATE_SOCKET = "/run/systemd/private";
const SERVICE = "org.freedesktop.systemd1";
const MANAGER = { path: "/org/freedesktop/systemd1", interface: `${SERVICE}.Manager` } as const;
/** Of D-Bus: method_call, method_return, error, signal. */
const METHOD_CALL = 1;
const RETURN = 2;
const ERROR = 3;
const SIGNAL = 4;

export class PrivateSystemd implements SystemdUnits {
  readonly #socket: string;

  constructor(socket: string = PRIVATE_SOCKET) {
    this.#socket = socket;
  }

  async startScope(scope: TransientScope, signal: AbortSignal): Promise<void> {
    await this.#job("StartTransientUnit", scope.name, [
      ["Description", ["s", scope.description]],
      ["Slice", ["s", scope.slice]],
      ["PIDs", ["au", [scope.pid]]],
      ["Delegate", ["b", true]],
      // Else the shutdown would stop it before the containers that it watches.
      ["DefaultDependencies", ["b", false]],
      // A scope that failed is as gone as one that ended.
      ["CollectMode", ["s", "inactive-or-failed"]],
    ], signal);
  }

  async startSlice(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#job("StartTransientUnit", name, [
        ["Description", ["s", `Pods in ${name}`]],
        ["DefaultDependencies", ["b", false]],
        ...["CPU", "Memory", "Tasks", "IO"].map((controller): Property => [
          `${controller}Accounting`,
          ["b", true],
        ]),
      ], signal);
    } catch (error) {
      if (!isCalled(error, "UnitExists")) throw error;
    }
  }

  async stop(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#job("StopUnit", name, undefined, signal);
    } catch (error) {
      if (!isCalled(error, "NoSuchUnit")) throw error;
    }
  }

  /** Calls a method that starts a job, and waits for the job. A connection each: systemd may be executed anew. */
  async #job(
    member: "StartTransientUnit" | "StopUnit",
    unit: string,
    properties: readonly Property[] | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const call: JobCall = { member, unit };
    // Closing is what ends a wait for systemd.
    using closing = new DisposableStack();
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => {}); // the job may have settled before
    const onAbort = () => {
      const { reason } = signal;
      aborted.reject(
        reason instanceof Error ? reason : new CancelledError(`${member} was cancelled`),
      );
    };
    signal.addEventListener("abort", onAbort, { once: true });
    closing.defer(() => signal.removeEventListener("abort", onAbort));
    const work = async (): Promise<void> => {
      const peer = closing.use(await DBusPeer.connect(this.#socket, signal));
      await peer.send({
        type: METHOD_CALL,
        serial: CALL_SERIAL,
        destination: SERVICE,
        ...MANAGER,
        member,
        // "fail": a scope of this name that is there is somebody else's, never replaced; and a job of
        // somebody else's is not cancelled by a stop.
        ...(properties === undefined
          ? { signature: "ss", body: [unit, "fail"] }
          : { signature: "ssa(sv)a(sa(sv))", body: [unit, "fail", properties, []] }),
      });
      await jobDone(peer, call);
    };
    const working = work().catch((cause) => {
      if (cause instanceof FailedPreconditionError) throw cause;
      throw new UnavailableError(`systemd did not answer ${member} of ${shown(unit)}`, { cause });
    });
    working.catch(() => {}); // after an abort nobody listens
    await Promise.race([working, aborted.promise]);
  }
}

const CALL_SERIAL = 1;

interface JobCall {
  readonly member: string;
  readonly unit: string;
}

/** Resolves with the job that the call started. */
async function jobDone(peer: DBusPeer, call: JobCall): Promise<void> {
  let job: unknown;
  /** Of jobs that ended before the answer told which is ours. */
  const ended = new Map<unknown, unknown>();
  for (;;) {
    const message = await peer.receive();
    if (message.type === SIGNAL && message.member === "JobRemoved") {
      const [, path, , result] = message.body ?? [];
      ended.set(path, result);
    } else if (message.replySerial === CALL_SERIAL && message.type === RETURN) {
      [job] = message.body ?? [];
    } else if (message.replySerial === CALL_SERIAL && message.type === ERROR) {
      throw refusal(call, String(message.body?.[0] ?? ""), message.errorName);
    }
    const result = ended.get(job);
    if (result === "done" || result === "skipped") return;
    if (result !== undefined) throw refusal(call, `its job ended as ${shown(String(result))}`);
  }
}

/** `code` is D-Bus's name of the error without its prefix: `NoSuchUnit`. */
function refusal({ member, unit }: JobCall, words: string, name?: string): SauropodError {
  const message = `systemd refused ${member} of ${shown(unit)}: ${words || name || "no reason"}`;
  return new FailedPreconditionError(message, {
    value: unit,
    ...(name === undefined ? {} : { code: name.slice(name.lastIndexOf(".") + 1) }),
  });
}

function isCalled(error: unknown, code: string): boolean {
  return error instanceof FailedPreconditionError && error.details.code === code;
}
