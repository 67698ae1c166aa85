/**
 * The directory of CNI configurations, watched: which network pods get, and why there is none.
 *
 * @module
 */
import { errorMessage, UnavailableError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { FileWatcher } from "../sys/watching.ts";
import { type CniList, cniListJson, parseCniList } from "./cni_list.ts";
import type { ChosenNetwork, NetworkReadiness } from "./networks.ts";
import type { PluginPaths } from "./plugin_paths.ts";
import { negotiateVersion, pluginsOf, type PluginVersions } from "./plugin_versions.ts";

export interface CniConfigOptions {
  /** `network_dir`. */
  readonly configDir: string;
  /** `cni_default_network`; empty for the first by file name. */
  readonly defaultNetwork: string;
  readonly plugins: PluginPaths;
  readonly versions: PluginVersions;
  readonly watcher: FileWatcher;
  readonly logger: Logger;
}

const MAX_FILES = 256;
const MAX_FILE_BYTES = 1024 * 1024;

type Loaded =
  | { readonly kind: "network"; readonly list: CniList }
  | { readonly kind: "none"; readonly message: string };

export class CniConfig implements Disposable {
  readonly #options: CniConfigOptions;
  /** By directory: one each, however often it is watched anew. */
  readonly #watches = new Map<string, Disposable>();
  #loaded: Loaded = { kind: "none", message: "the CNI configuration has not been read yet" };
  #reload: Promise<void> | undefined;
  #stale = false;
  #disposed = false;

  constructor(options: CniConfigOptions) {
    this.#options = { ...options, configDir: options.configDir.replace(/(?<=.)\/+$/, "") };
  }

  /** Makes the directories if they are missing, watches them and reads the configuration. */
  async start(): Promise<void> {
    const { configDir, plugins, logger } = this.#options;
    for (const dir of [configDir, ...plugins.dirs]) {
      try {
        await Deno.mkdir(dir, { recursive: true, mode: 0o755 });
        this.#watch(dir);
      } catch (error) {
        logger.warn("A CNI directory cannot be watched", { dir, error });
      }
    }
    await this.reload();
  }

  /** Reads everything again; events during a reading cause one more. */
  reload(): Promise<void> {
    this.#stale = true;
    this.#reload ??= this.#reloadWhileStale().finally(() => {
      this.#reload = undefined;
    });
    return this.#reload;
  }

  readiness(): NetworkReadiness {
    return this.#loaded.kind === "network"
      ? { ready: true }
      : { ready: false, reason: "NetworkPluginNotReady", message: this.#loaded.message };
  }

  /** The list that a new pod gets; undefined if there is none. */
  current(): CniList | undefined {
    return this.#loaded.kind === "network" ? this.#loaded.list : undefined;
  }

  /** @throws {UnavailableError} there is no usable network: says where it looked and what was wrong */
  choose(): ChosenNetwork {
    if (this.#loaded.kind === "none") {
      throw new UnavailableError(`The pod network is not ready: ${this.#loaded.message}`, {
        path: this.#options.configDir,
        remedy: "install a CNI configuration and its plugins",
      });
    }
    const { list } = this.#loaded;
    return { name: list.name, configuration: cniListJson(list) };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#watches.clear();
  }

  #watch(dir: string): void {
    const watch = this.#options.watcher.watchDirectory(dir, (event) => {
      // A directory that was replaced needs a new watch; one that cannot be watched is read at least.
      if (event.kind === "rescan" && !this.#disposed) this.#rewatch(dir);
      void this.reload();
    });
    this.#watches.get(dir)?.[Symbol.dispose]();
    this.#watches.set(dir, watch);
  }

  #rewatch(dir: string): void {
    void Deno.mkdir(dir, { recursive: true, mode: 0o755 })
      .then(() => {
        if (!this.#disposed) this.#watch(dir);
      })
      .catch((error) =>
        this.#options.logger.warn("A CNI directory cannot be watched", { dir, error })
      );
  }

  async #reloadWhileStale(): Promise<void> {
    while (this.#stale && !this.#disposed) {
      this.#stale = false;
      const before = describe(this.#loaded);
      this.#loaded = await this.#load();
      const after = describe(this.#loaded);
      if (after !== before) this.#options.logger.info("CNI configuration read", { found: after });
    }
  }

  async #load(): Promise<Loaded> {
    const { configDir, defaultNetwork } = this.#options;
    const problems: string[] = [];
    let names: string[];
    try {
      names = await configurationFiles(configDir);
    } catch (error) {
      return { kind: "none", message: `${configDir} cannot be read: ${errorMessage(error)}` };
    }
    for (const name of names) {
      try {
        const list = parseCniList(await readJson(`${configDir}/${name}`));
        if (defaultNetwork !== "" && list.name !== defaultNetwork) continue;
        const missing = await this.#missingPlugins(list);
        if (missing.length === 0) {
          const negotiated = await negotiateVersion(list, this.#options.versions);
          if (negotiated.kind === "agreed") return { kind: "network", list: negotiated.list };
          problems.push(`${name}: ${negotiated.problem}`);
        } else {
          const dirs = this.#options.plugins.dirs.join(", ");
          problems.push(`${name}: plugin ${missing.join(", ")} is in none of ${dirs}`);
        }
        // The first network is the one meant; another would be a surprise.
        break;
      } catch (error) {
        problems.push(`${name}: ${errorMessage(error)}`);
      }
    }
    const wanted = defaultNetwork === "" ? "no usable network" : `no network "${defaultNetwork}"`;
    const why = problems.length === 0 ? "" : ` (${problems.join("; ")})`;
    return { kind: "none", message: `${wanted} in ${configDir}${why}` };
  }

  async #missingPlugins(list: CniList): Promise<string[]> {
    const missing: string[] = [];
    for (const name of pluginsOf(list)) {
      if (await this.#options.plugins.find(name) === undefined) missing.push(`"${name}"`);
    }
    return missing;
  }
}

function describe(loaded: Loaded): string {
  return loaded.kind === "network" ? `network ${loaded.list.name}` : loaded.message;
}

/** Names in lexical order of their bytes, as every other runtime sorts them. */
async function configurationFiles(dir: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(dir)) {
    if (/\.(?:conf|conflist|json)$/.test(name) && !name.startsWith(".")) names.push(name);
  }
  return names.sort((a, b) => (a < b ? -1 : 1)).slice(0, MAX_FILES);
}

async function readJson(path: string): Promise<unknown> {
  // Links are followed (configuration maps are links); a pipe or device would block the reader.
  const { isFile, size } = await Deno.stat(path);
  if (!isFile) throw new TypeError("not a regular file");
  if (size > MAX_FILE_BYTES) throw new TypeError(`larger than ${MAX_FILE_BYTES} bytes`);
  return JSON.parse(await Deno.readTextFile(path));
}
