/**
 * Units of the systemd that runs this node, over D-Bus on its private socket: for root, and there as
 * long as systemd is, whether or not a message bus runs.
 *
 * @module
 */
import type { DBusConnection, Message } from "dbus-native";
import {
  CancelledError,
  FailedPreconditionError,
  type SauropodError,
  shown,
  UnavailableError,
} from "../errors/mod.ts";

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
const MESSAGE_LIMIT_BYTES = 1 << 20;
/** Of D-Bus: method_return, error, signal. */
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
    // Loaded by the nodes that need it.
    const { createConnection } = (await import("dbus-native")).default;
    const connection = createConnection({
      socket: this.#socket,
      authMethods: ["EXTERNAL"],
      maxMessageSize: MESSAGE_LIMIT_BYTES,
    });
    using _ = { [Symbol.dispose]: () => void connection.end() };
    const done = jobDone(connection, { member, unit }, signal);
    connection.message({
      type: 1,
      serial: CALL_SERIAL,
      destination: SERVICE,
      ...MANAGER,
      member,
      // A scope of this name that is there is somebody else's: never replaced.
      ...(properties === undefined
        ? { signature: "ss", body: [unit, "replace"] }
        : { signature: "ssa(sv)a(sa(sv))", body: [unit, "fail", properties, []] }),
    });
    await done;
  }
}

const CALL_SERIAL = 1;

interface JobCall {
  readonly member: string;
  readonly unit: string;
}

/** Settles with the job that the call started. */
async function jobDone(
  connection: DBusConnection,
  call: JobCall,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const unavailable = (cause: unknown) =>
    reject(
      new UnavailableError(`systemd did not answer ${call.member} of ${shown(call.unit)}`, {
        cause,
      }),
    );
  const onAbort = () => {
    const { reason } = signal;
    reject(reason instanceof Error ? reason : new CancelledError(`${call.member} was cancelled`));
  };
  let job: unknown;
  /** Of jobs that ended before the answer told which is ours. */
  const ended = new Map<unknown, unknown>();
  const settle = () => {
    const result = ended.get(job);
    if (result === undefined) return;
    if (result === "done" || result === "skipped") resolve();
    else reject(refusal(call, `its job ended as ${shown(String(result))}`));
  };
  connection.on("error", unavailable);
  connection.on("close", unavailable);
  connection.on("message", (message: Message) => {
    if (message.type === SIGNAL && message.member === "JobRemoved") {
      const [, path, , result] = message.body ?? [];
      ended.set(path, result);
    } else if (message.replySerial === CALL_SERIAL && message.type === RETURN) {
      [job] = message.body ?? [];
    } else if (message.replySerial === CALL_SERIAL && message.type === ERROR) {
      reject(refusal(call, String(message.body?.[0] ?? ""), message.errorName));
    } else return;
    settle();
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
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
