/**
 * When the configuration is read again: at SIGHUP, and when one of its files changes.
 *
 * @module
 */
import { basename, dirname } from "node:path";
import type { ConfigurationPlace, LiveConfiguration } from "../config/mod.ts";
import { isErrno } from "../errors/mod.ts";
import type { FileEvent, FileWatcher } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface ConfigurationReloaderOptions {
  readonly live: Pick<LiveConfiguration, "reload">;
  readonly places: readonly ConfigurationPlace[];
  readonly watcher: FileWatcher;
  /** Tells whoever manages this process what it is doing meanwhile. */
  readonly around: (reload: () => Promise<void>) => Promise<void>;
  readonly log: Logger;
}

export class ConfigurationReloader implements Disposable {
  readonly #options: ConfigurationReloaderOptions;
  /** One for each place, however often it is watched anew. */
  readonly #watches = new Map<ConfigurationPlace, Disposable>();
  readonly #hangUps = new DisposableStack();
  #underWay: Promise<void> | undefined;
  /** Why the next reading is due. */
  readonly #causes = new Set<string>();
  #disposed = false;

  constructor(options: ConfigurationReloaderOptions) {
    this.#options = options;
    const onHangUp = () => void this.reload("SIGHUP");
    Deno.addSignalListener("SIGHUP", onHangUp);
    this.#hangUps.defer(() => Deno.removeSignalListener("SIGHUP", onHangUp));
    for (const place of options.places) this.#watch(place);
  }

  /** Reads everything again; what comes during a reading causes one more. Never rejects. */
  reload(cause: string): Promise<void> {
    this.#causes.add(cause);
    this.#underWay ??= this.#reloadWhileDue().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#hangUps.dispose();
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#watches.clear();
  }

  #watch(place: ConfigurationPlace): void {
    if (this.#disposed) return;
    // Between the two first looks it may have been made.
    if (this.#watchDirectory(place) || !this.#awaitDirectory(place)) return;
    this.#watchDirectory(place);
  }

  /** @returns false if there is no such directory */
  #watchDirectory(place: ConfigurationPlace): boolean {
    const { directory, file } = place;
    return this.#follow(place, directory, (event) => {
      // A directory that was replaced needs a new watch.
      if (event.kind === "rescan") this.#watch(place);
      if (means(event, file)) void this.reload(`a change in ${directory}`);
    });
  }

  /** Until it is there, it is looked for in the one above; without that one SIGHUP finds it. */
  #awaitDirectory(place: ConfigurationPlace): boolean {
    const { directory } = place;
    const name = basename(directory);
    return this.#follow(place, dirname(directory), (event) => {
      if (event.kind !== "rescan") {
        const isThere = event.kind === "created" || event.kind === "movedTo";
        if (!isThere || event.name !== name) return;
      }
      this.#watch(place);
      void this.reload(`a change of ${directory}`);
    });
  }

  /** @returns false if there is no such directory */
  #follow(
    place: ConfigurationPlace,
    directory: string,
    onEvent: (event: FileEvent) => void,
  ): boolean {
    const { watcher, log } = this.#options;
    try {
      const watch = watcher.watchDirectory(directory, onEvent);
      this.#watches.get(place)?.[Symbol.dispose]();
      this.#watches.set(place, watch);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      log.warn("The configuration is not watched there: SIGHUP reads it", { directory, error });
      return true;
    }
  }

  async #reloadWhileDue(): Promise<void> {
    while (this.#causes.size > 0 && !this.#disposed) {
      const cause = [...this.#causes].join(", ");
      this.#causes.clear();
      await this.#options.around(() => this.#reload(cause));
    }
  }

  async #reload(cause: string): Promise<void> {
    const { live, log } = this.#options;
    try {
      const { changed, needRestart } = await live.reload();
      log.info("Configuration reloaded", { cause, changed: changed.join(", ") || "nothing" });
      if (needRestart.length > 0) {
        log.warn("Changed keys of the configuration take effect at the next start", {
          keys: needRestart.join(", "),
        });
      }
    } catch (error) {
      log.error("The configuration is not reloaded: the one in force stays", { cause, error });
    }
  }
}

/** A file that was just created is still empty: what is written into it is told when it is closed. */
function means(event: FileEvent, file: string | undefined): boolean {
  if (event.kind === "rescan") return true;
  if (event.kind === "created") return false;
  return file === undefined || event.name === file;
}
