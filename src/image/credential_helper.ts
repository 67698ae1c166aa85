/**
 * Credential helpers: programs `docker-credential-<name>` that are asked for the credentials of a
 * server, which they read from their standard input and answer as JSON.
 *
 * @module
 */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import type { ProcessRunner } from "../sys/mod.ts";
import { findProgram, SYSTEM_PATH } from "../sys/programs.ts";
import type { PullCredentials } from "./images.ts";

export interface CredentialHelpersOptions {
  readonly runner: Pick<ProcessRunner, "run">;
  /** What the programs see, `PATH` included, by which they are found. */
  readonly env: Readonly<Record<string, string>>;
  /** How long one may take; 30 s by default. Some ask a service of their cloud. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
const OUTPUT_LIMIT_BYTES = 256 << 10;
/** What helpers print, with status 1, for a server that they have nothing for. */
const NOTHING_THERE = "credentials not found in native keychain";

export class CredentialHelpers {
  readonly #options: CredentialHelpersOptions;

  constructor(options: CredentialHelpersOptions) {
    this.#options = options;
  }

  /**
   * @param name without `docker-credential-`; it is a name, not a path
   * @param server `quay.io`, or as Docker writes its own
   * @returns undefined if the helper has none
   * @throws {DeadlineExceededError} it took too long; it has been killed
   * @throws {FailedPreconditionError} there is no such program in `PATH`, it failed, or answered what is no credentials
   */
  async get(
    name: string,
    server: string,
    signal: AbortSignal,
  ): Promise<PullCredentials | undefined> {
    const { runner, env, timeoutMs = TIMEOUT_MS } = this.#options;
    const { exitCode, endedBy, stdout, truncated } = await runner.run({
      path: await this.#find(`docker-credential-${name}`),
      args: ["get"],
      env,
      stdin: new TextEncoder().encode(server),
      timeoutMs,
      outputLimitBytes: OUTPUT_LIMIT_BYTES,
      signal,
    });
    if (truncated) throw failed(name, server, `it printed more than ${OUTPUT_LIMIT_BYTES} bytes`);
    const text = new TextDecoder().decode(stdout).trim();
    if (exitCode !== 0) {
      if (text.includes(NOTHING_THERE)) return undefined;
      throw failed(name, server, [endedBy ?? `status ${exitCode}`, ...complaint(text)].join(", "));
    }
    return parseAnswer(text, name, server);
  }

  async #find(program: string): Promise<string> {
    const path = this.#options.env["PATH"] || SYSTEM_PATH;
    const found = await findProgram(program, path);
    if (found !== undefined) return found;
    throw new FailedPreconditionError(`There is no credential helper ${program} in ${path}`, {
      value: program,
      remedy: "install it, or take it out of the registries file and the credentials file",
    });
  }
}

/** What a helper that failed says: one line, and nothing if it may hold credentials after all. */
function complaint(text: string): string[] {
  if (text === "" || /^[{["]|"secret"/i.test(text)) return [];
  return [shown(text.split("\n", 1)[0])];
}

function parseAnswer(text: string, name: string, server: string): PullCredentials | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // The text may hold a secret.
    throw failed(name, server, "its answer is not JSON");
  }
  const { Username: username, Secret: secret } = Object(answer) as Record<string, unknown>;
  if (typeof username !== "string" || typeof secret !== "string") {
    throw failed(name, server, "its answer lacks Username or Secret");
  }
  if (username === "" && secret === "") return undefined;
  return username === "<token>" ? { identityToken: secret } : { username, password: secret };
}

function failed(name: string, server: string, why: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `The credential helper docker-credential-${name} gave nothing for ${shown(server)}: ${why}`,
    { value: name, remedy: `run it by hand: echo ${server} | docker-credential-${name} get` },
  );
}
