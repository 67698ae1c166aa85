/**
 * Stopping a container: its stop signal, a deadline that repeated calls may only bring nearer, then
 * SIGKILL until it is dead.
 *
 * @module
 */
import { DeadlineExceededError } from "../errors/mod.ts";
import { type Clock, type ContainerId, LONGEST_TIMER_MS } from "../model/mod.ts";
import type { ContainerRuntime } from "../runtime/containers_runtime.ts";
import type { ProcessIdentity } from "../sys/watching.ts";
import { type ContainerRecord, isLive, type LiveContainer } from "./container.ts";
import type { ExitTracker } from "./exits.ts";
import type { KeyedMutex } from "./mutex.ts";
import type { PodRegistry } from "./registry.ts";

const SIGKILL = 9;
/** Between one SIGKILL and the next: a process in uninterruptible sleep may need long. */
const FIRST_KILL_PAUSE_MS = 20;
const LONGEST_KILL_PAUSE_MS = 120_000;
/** So long after its start a program may be on the way to its signal handlers. */
const SETTLING_MS = 10_000;
const FIRST_LOOK_MS = 10;
const LONGEST_LOOK_MS = 500;

export interface ContainerStopperOptions {
  readonly registry: PodRegistry;
  readonly runtime: Pick<ContainerRuntime, "signal" | "heeds">;
  readonly exits: ExitTracker;
  readonly mutex: KeyedMutex;
  readonly clock: Clock;
  /** How long a stop waits for a killed process before it answers that it cannot end it. */
  readonly killDeadlineMs: number;
}

type RunningContainer = LiveContainer & { readonly state: { readonly kind: "running" } };

/** The stop signal was sent. */
interface Signalled {
  readonly container: RunningContainer;
  /** There was a handler for it before it was sent. */
  readonly heard: boolean;
}

/** One stop under way. */
interface Stop {
  /** Brings the moment of the kill nearer; a later moment changes nothing. */
  shorten(killAtMs: number): void;
  readonly done: Promise<void>;
}

export class ContainerStopper {
  readonly #options: ContainerStopperOptions;
  readonly #stops = new Map<ContainerId, Stop>();

  constructor(options: ContainerStopperOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the container has ended and its end is committed.
   *
   * @param graceMs from the stop signal to SIGKILL; 0 kills at once
   * @throws {DeadlineExceededError} it does not die of SIGKILL
   */
  async stop(container: ContainerRecord, graceMs: number): Promise<void> {
    if (!isLive(container)) return;
    const killAtMs = this.#options.clock.monotonicMs() + graceMs;
    const running = this.#stops.get(container.id);
    if (running !== undefined) {
      running.shorten(killAtMs);
      return await running.done;
    }
    const stop = this.#begin(container.id, killAtMs);
    this.#stops.set(container.id, stop);
    try {
      await stop.done;
    } finally {
      this.#stops.delete(container.id);
    }
  }

  #begin(id: ContainerId, killAtMs: number): Stop {
    const alarm = new Alarm(this.#options.clock, killAtMs);
    const done = (async () => {
      using _alarm = alarm;
      const ended = this.#options.exits.ended(id);
      const signalled = alarm.remainingMs() > 0
        ? await this.#signalStop(id, alarm.rung)
        : undefined;
      if (signalled !== undefined) {
        using _repeating = this.#repeatUntilHeard(signalled);
        if (await Promise.race([ended.then(() => true), alarm.rung.then(() => false)])) return;
      }
      await this.#kill(id, ended);
    })();
    return { shorten: (at) => alarm.bringForward(at), done };
  }

  /** Sends the stop signal to a running container; undefined if it must be killed instead. */
  async #signalStop(id: ContainerId, rung: Promise<void>): Promise<Signalled | undefined> {
    // Behind the lock a start under way has finished: the signal meets the program, not the runtime.
    const turn = this.#options.mutex.acquire(id);
    using permit = await Promise.race([turn, rung.then(() => undefined)]);
    if (permit === undefined) {
      // The start hangs; what it hangs on ends with the container.
      void turn.then((late) => late[Symbol.dispose]());
      return undefined;
    }
    const record = this.#options.registry.container(id);
    if (record?.state.kind !== "running") return undefined;
    const container = { ...record, state: record.state };
    const { place, state: { init }, stopSignal } = container;
    // Looked at later, a handler that was set up behind the signal would pass for one that has heard it.
    const heard = this.#heedsOrUnknown(init, stopSignal);
    this.#options.runtime.signal(place, init, stopSignal);
    return { container, heard };
  }

  /**
   * A container that was started a moment ago may not have set up its handlers: as the first process of
   * a PID namespace it has not heard the signal then, and would be killed when its grace is over. The
   * kernel tells nobody of a new handler, so it is looked for while the container settles. One that came
   * between the first look and the signal is signalled once more.
   */
  #repeatUntilHeard({ container, heard }: Signalled): Disposable {
    const { runtime, clock } = this.#options;
    const { place, state, stopSignal } = container;
    const settledAtNs = state.startedAtNs + BigInt(SETTLING_MS) * 1_000_000n;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const lookIn = (pauseMs: number) => {
      if (clock.nowNs() < settledAtNs) timer = setTimeout(look, pauseMs, pauseMs);
    };
    const look = (pauseMs: number) => {
      try {
        if (runtime.heeds(state.init, stopSignal)) {
          runtime.signal(place, state.init, stopSignal);
          return;
        }
      } catch {
        // Descriptors may be used up for a moment; thrown from a timer it would end this process.
      }
      lookIn(Math.min(pauseMs * 2, LONGEST_LOOK_MS));
    };
    if (!heard) lookIn(FIRST_LOOK_MS);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  }

  /** A second signal makes many programs end at once: it is not sent where it may not be needed. */
  #heedsOrUnknown(init: ProcessIdentity, signal: number): boolean {
    try {
      return this.#options.runtime.heeds(init, signal);
    } catch {
      return true;
    }
  }

  async #kill(id: ContainerId, ended: Promise<void>): Promise<void> {
    const { registry, runtime, exits, clock, killDeadlineMs } = this.#options;
    const giveUpAtMs = clock.monotonicMs() + killDeadlineMs;
    for (
      let pauseMs = FIRST_KILL_PAUSE_MS;;
      pauseMs = Math.min(pauseMs * 2, LONGEST_KILL_PAUSE_MS)
    ) {
      const record = registry.container(id);
      if (record === undefined || !isLive(record)) return;
      if (runtime.signal(record.place, record.state.init, SIGKILL)) exits.expectKill(id);
      const remainingMs = giveUpAtMs - clock.monotonicMs();
      if (remainingMs <= 0) {
        throw new DeadlineExceededError(
          `Container ${id} did not end within ${killDeadlineMs / 1000} s of SIGKILL`,
          {
            id,
            stage: "kill",
            remedy:
              `see what process ${record.state.init.pid} waits for in /proc/${record.state.init.pid}/stack`,
          },
        );
      }
      using pause = new Alarm(clock, clock.monotonicMs() + Math.min(pauseMs, remainingMs));
      if (await Promise.race([ended.then(() => true), pause.rung.then(() => false)])) return;
    }
  }
}

/** A timer whose moment can be brought nearer. */
class Alarm implements Disposable {
  readonly #clock: Clock;
  readonly #rung = Promise.withResolvers<void>();
  #atMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(clock: Clock, atMs: number) {
    this.#clock = clock;
    this.#atMs = atMs;
    this.#arm();
  }

  get rung(): Promise<void> {
    return this.#rung.promise;
  }

  remainingMs(): number {
    return this.#atMs - this.#clock.monotonicMs();
  }

  bringForward(atMs: number): void {
    if (atMs >= this.#atMs) return;
    this.#atMs = atMs;
    this.#arm();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    // A longer grace than a timer can hold is looked at again.
    const waitMs = Math.min(Math.max(this.remainingMs(), 0), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      if (this.remainingMs() > 0) this.#arm();
      else this.#rung.resolve();
    }, waitMs);
  }
}
