/** Running nft(8): rules go in by standard input, never as arguments or through a shell. @module */
import { errorMessage, FailedPreconditionError, UnavailableError } from "../errors/mod.ts";
import type { ProcessRunner } from "../sys/process_runner.ts";
import { printable } from "./cni_result.ts";
import { findProgramSync, SYSTEM_PATH } from "../sys/programs.ts";

const TIMEOUT_MS = 30_000;
const OUTPUT_LIMIT_BYTES = 64 * 1024;

export class Nft {
  readonly #runner: ProcessRunner;
  readonly #find: (name: string) => string | undefined;

  /** @param find absolute path of a program of the node */
  constructor(
    runner: ProcessRunner,
    find: (name: string) => string | undefined = findProgramSync,
  ) {
    this.#runner = runner;
    this.#find = find;
  }

  /** True if the program is on the node; asked each time, as it may be installed later. */
  isInstalled(): boolean {
    return this.#find("nft") !== undefined;
  }

  /**
   * Applies a ruleset in one transaction: all of it or nothing.
   *
   * @throws {FailedPreconditionError} nft is not installed
   * @throws {UnavailableError} it failed: with what it said
   */
  async apply(ruleset: string, signal: AbortSignal): Promise<void> {
    const problem = await this.#run(["-f", "-"], ruleset, signal);
    if (problem !== undefined) {
      throw new UnavailableError(`The kernel did not take the rules for host ports: ${problem}`, {
        remedy: "check that the kernel has nf_tables with NAT",
      });
    }
  }

  /** Whether the table is in the kernel. @throws as {@link apply} */
  async hasTable(table: string, signal: AbortSignal): Promise<boolean> {
    return await this.#run(["list", "table", "inet", table], "", signal) === undefined;
  }

  /** @returns what was wrong, undefined after success */
  async #run(
    args: readonly string[],
    input: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const path = this.#find("nft");
    if (path === undefined) throw nftMissing();
    try {
      const { exitCode, endedBy, stderr } = await this.#runner.run({
        path,
        args,
        env: { PATH: SYSTEM_PATH },
        cwd: "/",
        stdin: new TextEncoder().encode(input),
        timeoutMs: TIMEOUT_MS,
        outputLimitBytes: OUTPUT_LIMIT_BYTES,
        signal,
      });
      if (exitCode === 0) return undefined;
      return printable(new TextDecoder().decode(stderr)) || `nft ended with ${endedBy ?? exitCode}`;
    } catch (cause) {
      throw new UnavailableError(`nft could not be run: ${errorMessage(cause)}`, { path, cause });
    }
  }
}

export function nftMissing(): FailedPreconditionError {
  return new FailedPreconditionError(
    "Host ports are asked for, but the network has no plugin that opens them and nft is not installed",
    {
      field: "config.port_mappings",
      remedy: "install nftables, or add the portmap plugin to the network's configuration",
    },
  );
}
