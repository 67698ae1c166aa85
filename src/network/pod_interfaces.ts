/** Looking into a pod's network namespace, by a program of the node that enters it. @module */
import type { ProcessRunner } from "../sys/process_runner.ts";
import { findProgramSync, SYSTEM_PATH } from "../sys/programs.ts";

export interface PodInterfaces {
  /** Whether the namespace has the interface; undefined if that cannot be told. */
  has(netnsPath: string, name: string, signal: AbortSignal): Promise<boolean | undefined>;
}

const TIMEOUT_MS = 10_000;
const OUTPUT_LIMIT_BYTES = 256 * 1024;

export class EnteredInterfaces implements PodInterfaces {
  readonly #runner: ProcessRunner;

  constructor(runner: ProcessRunner) {
    this.#runner = runner;
  }

  async has(netnsPath: string, name: string, signal: AbortSignal): Promise<boolean | undefined> {
    const [nsenter, cat] = [findProgramSync("nsenter"), findProgramSync("cat")];
    if (nsenter === undefined || cat === undefined) return undefined;
    try {
      const { exitCode, stdout, truncated } = await this.#runner.run({
        path: nsenter,
        args: [`--net=${netnsPath}`, cat, "/proc/self/net/dev"],
        env: { PATH: SYSTEM_PATH },
        cwd: "/",
        timeoutMs: TIMEOUT_MS,
        outputLimitBytes: OUTPUT_LIMIT_BYTES,
        signal,
      });
      if (exitCode !== 0 || truncated) return undefined;
      const lines = new TextDecoder().decode(stdout).split("\n");
      return lines.some((line) => line.trimStart().startsWith(`${name}:`));
    } catch {
      // Asked to decide about a failure that is known already.
      return undefined;
    }
  }
}
