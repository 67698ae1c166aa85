/**
 * Talking to the service manager that started this process: sd_notify(3) and sd_watchdog_enabled(3).
 *
 * @module
 */
import { InvalidArgumentError, isErrno, shown, UnavailableError } from "../errors/mod.ts";
import { AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK } from "./constants.ts";
import type { Kernel } from "./kernel.ts";

/** What the manager may be told. */
export type ServiceState =
  /** Started, or done with reloading. */
  | { readonly kind: "ready"; readonly status: string }
  | { readonly kind: "reloading" }
  | { readonly kind: "stopping" }
  /** Still well; due within the watchdog's interval. */
  | { readonly kind: "watchdog" };

export interface ServiceEnvironment {
  /** `NOTIFY_SOCKET` as it was given; undefined if nobody waits for news. */
  readonly notifySocket: string | undefined;
  /** How long the manager waits between two signs of life; undefined without a watchdog. */
  readonly watchdogMs: number | undefined;
}

type Environment = Pick<typeof Deno.env, "get" | "delete">;

const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/**
 * Takes the manager's variables out of the environment, so that no child can speak in our name. Call
 * it once, before anything is started.
 *
 * @throws {InvalidArgumentError} a variable that no service manager sets like this
 */
export function serviceEnvironment(env: Environment, pid: number): ServiceEnvironment {
  const [socket, watchdogUsec, watchdogPid] = VARIABLES.map((name) => {
    const value = env.get(name);
    env.delete(name);
    return value === "" ? undefined : value;
  });
  return {
    notifySocket: socket === undefined ? undefined : checkedSocket(socket),
    // A variable that a parent passed on by mistake names another process.
    watchdogMs: watchdogUsec === undefined || (watchdogPid ?? String(pid)) !== String(pid)
      ? undefined
      : checkedInterval(watchdogUsec),
  };
}

function checkedSocket(socket: string): string {
  if (/^[/@]./.test(socket)) return socket;
  throw new InvalidArgumentError(`NOTIFY_SOCKET ${shown(socket)} is no unix socket`, {
    field: "NOTIFY_SOCKET",
    value: socket,
    remedy: "give an absolute path, or an abstract name as @NAME",
  });
}

function checkedInterval(text: string): number {
  const usec = /^[0-9]{1,16}$/.test(text) ? Number(text) : 0;
  if (usec > 0 && Number.isSafeInteger(usec)) return usec / 1000;
  throw new InvalidArgumentError(`WATCHDOG_USEC ${shown(text)} is no number of microseconds`, {
    field: "WATCHDOG_USEC",
    value: text,
  });
}

/** The queue of the manager's socket is short; it is emptied as soon as the manager runs. */
const FULL_QUEUE_ATTEMPTS = 100;
const FULL_QUEUE_PAUSE_MS = 50;

/** The datagram socket on which the service manager listens. */
export class NotifySocket {
  readonly #kernel: Kernel;
  readonly #name: string;

  /** @param socket as in `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name */
  constructor(kernel: Kernel, socket: string) {
    this.#kernel = kernel;
    this.#name = socket.replace(/^@/, "\0");
  }

  /** @throws {UnavailableError} the manager does not listen or does not read */
  async notify(state: ServiceState): Promise<void> {
    const message = new TextEncoder().encode(messageOf(state));
    for (let attempt = 1;; attempt++) {
      try {
        // A socket for each message: the manager may have been executed anew since the last.
        using socket = this.#kernel.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        this.#kernel.connectUnix(socket.number, this.#name);
        this.#kernel.write(socket.number, message);
        return;
      } catch (cause) {
        if (!isErrno(cause, "EAGAIN") || attempt === FULL_QUEUE_ATTEMPTS) {
          const path = this.#name.replace(/^\0/, "@");
          throw new UnavailableError(
            `The service manager cannot be told of "${state.kind}" on ${shown(path)}`,
            { path, cause },
          );
        }
      }
      await new Promise((resolve) => setTimeout(resolve, FULL_QUEUE_PAUSE_MS));
    }
  }
}

function messageOf(state: ServiceState): string {
  switch (state.kind) {
    case "ready":
      // A line break would start another assignment.
      return `READY=1\nSTATUS=${state.status.replaceAll(/\s+/g, " ")}`;
    case "reloading":
      return "RELOADING=1";
    case "stopping":
      return "STOPPING=1";
    case "watchdog":
      return "WATCHDOG=1";
    default:
      return state satisfies never;
  }
}
