/**
 * Which credentials a repository is asked with: those of helpers and files, in the order that the
 * registries file says.
 *
 * @module
 */
import type { Logger } from "../telemetry/mod.ts";
import { type AuthFile, type AuthFilePath, authFor, loadAuthFile } from "./auth_file.ts";
import type { CredentialHelpers } from "./credential_helper.ts";
import type { PullCredentials } from "./images.ts";
import { LiveFiles } from "./live_files.ts";
import { AUTH_FILES } from "./registries_conf.ts";

export interface CredentialSourcesOptions {
  readonly files: readonly AuthFilePath[];
  readonly helpers: CredentialHelpers;
  readonly log: Logger;
}

export class CredentialSources {
  readonly #options: CredentialSourcesOptions;
  readonly #files: LiveFiles<AuthFile | undefined>;

  constructor(options: CredentialSourcesOptions) {
    this.#options = options;
    this.#files = new LiveFiles(options.log);
  }

  /**
   * Credentials for a repository; undefined if nobody has any.
   *
   * @param name `quay.io/team/app`
   * @param order `credential-helpers` of the registries file
   * @param instead the one auth file that counts, in place of the usual ones
   * @throws the first failure, if a source failed and no other had any
   */
  async find(
    name: string,
    order: readonly string[],
    signal: AbortSignal,
    instead?: AuthFile,
  ): Promise<PullCredentials | undefined> {
    const failures: unknown[] = [];
    for (const source of order) {
      try {
        const found = source !== AUTH_FILES
          ? await this.#options.helpers.get(source, name.split("/")[0]!, signal)
          : await this.#fromFiles(name, signal, instead);
        if (found !== undefined) return found;
      } catch (error) {
        failures.push(error);
        if (signal.aborted) break;
      }
    }
    if (failures.length > 0) throw failures[0];
    return undefined;
  }

  /** Reads the files now. @returns what is wrong with them */
  async check(): Promise<readonly string[]> {
    const problems = await Promise.all(
      this.#options.files.map((file) => this.#files.check(file.path, () => loadAuthFile(file))),
    );
    return problems.filter((problem) => problem !== undefined);
  }

  async #fromFiles(
    name: string,
    signal: AbortSignal,
    instead: AuthFile | undefined,
  ): Promise<PullCredentials | undefined> {
    if (instead !== undefined) return await this.#fromFile(instead, name, signal);
    for (const place of this.#options.files) {
      const file = await this.#files.read(place.path, () => loadAuthFile(place));
      const found = file === undefined ? undefined : await this.#fromFile(file, name, signal);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #fromFile(
    file: AuthFile,
    name: string,
    signal: AbortSignal,
  ): Promise<PullCredentials | undefined> {
    const answer = authFor(file, name);
    switch (answer.kind) {
      case "credentials":
        return answer.credentials;
      case "helper":
        return await this.#options.helpers.get(answer.helper, answer.server, signal);
      case "none":
        return undefined;
    }
  }
}
