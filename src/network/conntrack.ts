/**
 * Forgetting UDP flows when a host port changes hands: connection tracking would go on sending them
 * where they went before, which for a client that keeps its port is for ever.
 *
 * @module
 */
import type { ProcessRunner } from "../sys/process_runner.ts";
import type { Logger } from "../telemetry/mod.ts";
import { findProgramSync, SYSTEM_PATH } from "../sys/programs.ts";

export interface FlowTable {
  /**
   * Forgets the flows to these UDP ports of the host, as many as it can until the signal fires. Never
   * fails: what is left ends by its own time-out.
   */
  forgetUdp(
    ports: readonly number[],
    families: readonly (4 | 6)[],
    signal: AbortSignal,
  ): Promise<void>;
}

/** conntrack(8) ends with 1 when it found nothing to delete. */
const NOTHING_FOUND = 1;
/** For all ports of a pod together: each takes milliseconds. */
const FORGETTING_MS = 10_000;

export class ConntrackFlows implements FlowTable {
  readonly #runner: ProcessRunner;
  readonly #log: Logger;
  readonly #find: (name: string) => string | undefined;

  constructor(
    runner: ProcessRunner,
    log: Logger,
    find: (name: string) => string | undefined = findProgramSync,
  ) {
    this.#runner = runner;
    this.#log = log;
    this.#find = find;
  }

  async forgetUdp(
    ports: readonly number[],
    families: readonly (4 | 6)[],
    signal: AbortSignal,
  ): Promise<void> {
    if (ports.length === 0) return;
    const path = this.#find("conntrack");
    if (path === undefined) {
      this.#log.warn("UDP flows of a host port may go on to its last pod: conntrack is missing", {
        ports,
      });
      return;
    }
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(FORGETTING_MS)]);
    for (const port of ports) {
      for (const family of families) {
        await this.#forget(path, port, family, bounded);
        if (bounded.aborted) return;
      }
    }
  }

  async #forget(path: string, port: number, family: 4 | 6, signal: AbortSignal): Promise<void> {
    const kind = family === 4 ? "ipv4" : "ipv6";
    try {
      const { exitCode } = await this.#runner.run({
        path,
        args: ["--delete", "--family", kind, "--proto", "udp", "--orig-port-dst", String(port)],
        env: { PATH: SYSTEM_PATH },
        cwd: "/",
        timeoutMs: FORGETTING_MS,
        signal,
        outputLimitBytes: 4096,
      });
      if (exitCode !== 0 && exitCode !== NOTHING_FOUND) {
        this.#log.warn("UDP flows of a host port could not be forgotten", { port, exitCode });
      }
    } catch (error) {
      this.#log.warn("UDP flows of a host port could not be forgotten", { port, error });
    }
  }
}
