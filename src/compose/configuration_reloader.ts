/**
 * When the configuration is read again: at SIGHUP, and when one of its files changes.
 *
 * @module
 */
import type { ConfigurationPlace, LiveConfiguration } from "../config/mod.ts";
import { isErrno } from "../errors/mod.ts";
import type { FileEvent, FileWatcher } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface ConfigurationReloaderOptions {
  readonly live: LiveConfiguration;
  readonly places: readonly ConfigurationPlace[];
  readonly watcher: FileWatcher;
  /** Tells whoever manages this process what it is doing meanwhile. */
  readonly around: (reload: () => Promise<void>) => Promise<void>;
  readonly log: Logger;
}

export class ConfigurationReloader implements Disposable {
  readonly #options: ConfigurationReloaderOptions;
  readonly #watches = new DisposableStack();
  #underWay: Promise<void> | undefined;
  /** Why the next reading is due. */
  readonly #causes = new Set<string>();
  #disposed = false;

  constructor(options: ConfigurationReloaderOptions) {
    this.#options = options;
    const onHangUp = () => void this.reload("SIGHUP");
    Deno.addSignalListener("SIGHUP", onHangUp);
    this.#watches.defer(() => Deno.removeSignalListener("SIGHUP", onHangUp));
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
    this.#watches.dispose();
  }

  #watch({ directory, file }: ConfigurationPlace): void {
    const { watcher, log } = this.#options;
    try {
      this.#watches.use(watcher.watchDirectory(directory, (event) => {
        if (means(event, file)) void this.reload(`a change in ${directory}`);
      }));
    } catch (error) {
      // Without drop-ins there is nothing to watch: SIGHUP finds those that come later.
      if (!isErrno(error, "ENOENT")) {
        log.warn("The configuration is not watched there: SIGHUP reads it", { directory, error });
      }
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
