/**
 * Credentials that a kubelet credential provider leaves for one pull of one namespace:
 * `<directory>/<namespace>-<sha256 of the repository>.json`. A pull takes the file away while it uses it,
 * so that no second one does, and removes it when it ends.
 *
 * @module
 */
import { createHash, randomUUID } from "node:crypto";
import { errorMessage, FailedPreconditionError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type AuthFile, loadAuthFile } from "./auth_file.ts";
import { type ImageName, qualify } from "./reference.ts";

const IN_USE = "in-use";
const IN_USE_NAME =
  /^.+-[0-9a-f]{64}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.json$/;

export interface TakenAuth extends AsyncDisposable {
  readonly file: AuthFile;
}

export class NamespacedAuth {
  readonly #directory: string;
  readonly #log: Logger;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * @param namespace checked to be the name of one
   * @returns undefined if nobody left any
   * @throws {FailedPreconditionError} the file is wrong, or cannot be taken
   */
  async take(namespace: string, name: ImageName): Promise<TakenAuth | undefined> {
    const base = `${namespace}-${createHash("sha256").update(repositoryOf(name)).digest("hex")}`;
    const left = `${this.#directory}/${base}.json`;
    const taken = `${this.#directory}/${IN_USE}/${base}-${randomUUID()}.json`;
    const move = () => Deno.rename(left, taken);
    try {
      // Nothing is made where nobody left anything.
      await Deno.lstat(left);
      await Deno.mkdir(`${this.#directory}/${IN_USE}`, { recursive: true, mode: 0o700 });
      await move();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new FailedPreconditionError(
        `Cannot take the credentials ${left}: ${errorMessage(error)}`,
        { path: left, cause: error },
      );
    }
    const remove = () => this.#remove(taken);
    try {
      const file = await loadAuthFile({ path: taken, legacy: false });
      if (file === undefined) {
        throw new FailedPreconditionError(`The credentials ${left} vanished while in use`);
      }
      return { file, [Symbol.asyncDispose]: remove };
    } catch (error) {
      await remove();
      throw error;
    }
  }

  /**
   * Makes the directory if it is missing, for root alone, and removes what pulls that a crash ended had
   * taken. Without a directory nobody can leave credentials, and pulls go on without.
   */
  async recover(): Promise<void> {
    try {
      await makePrivateDirectory(this.#directory);
    } catch (error) {
      this.#log.warn("The directory for credentials of one pull could not be made", {
        key: "image.namespaced_auth_dir",
        path: this.#directory,
        error,
      });
    }
    try {
      for await (const { name } of Deno.readDir(`${this.#directory}/${IN_USE}`)) {
        if (IN_USE_NAME.test(name)) await this.#remove(`${this.#directory}/${IN_USE}/${name}`);
      }
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      this.#log.warn("Credentials that a crash left in use could not be looked for", { error });
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await Deno.remove(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      this.#log.error("Credentials of one pull could not be removed", { path, error });
    }
  }
}

/** One that is there stays as its owner made it. */
async function makePrivateDirectory(path: string): Promise<void> {
  // What is above is of others, too: the configuration, usually.
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: true, mode: 0o755 });
  try {
    await Deno.mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** As the provider is told it: complete, and without tag and digest. */
function repositoryOf(name: ImageName): string {
  return name.kind === "qualified"
    ? name.reference.repository
    : qualify(name, "docker.io").repository;
}
