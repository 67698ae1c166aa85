/** Versions of the specification that plugins know, by their own word (command VERSION). @module */
import type { CniExec } from "./cni_exec.ts";
import { CNI_VERSIONS, type CniList } from "./cni_list.ts";
import { parseSupportedVersions } from "./cni_result.ts";
import type { PluginPaths } from "./plugin_paths.ts";

export interface PluginVersions {
  /** Undefined if the plugin does not tell. */
  supportedBy(plugin: string): Promise<readonly string[] | undefined>;
}

const DEADLINE_MS = 10_000;

/**
 * Asks each program once, until it is replaced: a plugin that writes into its own directory, which is
 * watched, would else be asked for ever.
 */
export class AskedPluginVersions implements PluginVersions {
  readonly #exec: Pick<CniExec, "run">;
  readonly #paths: PluginPaths;
  readonly #answers = new Map<
    string,
    { readonly program: string; readonly versions: readonly string[] | undefined }
  >();

  constructor(exec: Pick<CniExec, "run">, paths: PluginPaths) {
    this.#exec = exec;
    this.#paths = paths;
  }

  async supportedBy(plugin: string): Promise<readonly string[] | undefined> {
    const program = await this.#identify(plugin);
    const known = this.#answers.get(plugin);
    if (known?.program === program) return known.versions;
    const versions = await this.#ask(plugin);
    this.#answers.set(plugin, { program, versions });
    return versions;
  }

  async #ask(plugin: string): Promise<readonly string[] | undefined> {
    try {
      const stdout = await this.#exec.run({
        command: "VERSION",
        network: "",
        plugin,
        configuration: { cniVersion: CNI_VERSIONS.at(-1) ?? "" },
      }, AbortSignal.timeout(DEADLINE_MS));
      return parseSupportedVersions(stdout);
    } catch {
      // Whether it works at all, ADD tells with its reason.
      return undefined;
    }
  }

  /** Changes when the program is replaced. */
  async #identify(plugin: string): Promise<string> {
    const path = await this.#paths.find(plugin);
    if (path === undefined) return "";
    const { ino, mtime, size } = await Deno.stat(path);
    return [path, ino, mtime?.getTime(), size].join(" ");
  }
}

export type Negotiated =
  | { readonly kind: "agreed"; readonly list: CniList }
  | { readonly kind: "disagreed"; readonly problem: string };

/** Plugins are asked only where it can make a difference: before 1.1 every plugin knows every version. */
const ASKED_FROM = "1.1.0";

/** The list with the newest of its versions that each of its plugins knows. */
export async function negotiateVersion(
  list: CniList,
  versions: PluginVersions,
): Promise<Negotiated> {
  if (list.offeredVersions.length === 1 && list.cniVersion !== ASKED_FROM) {
    return { kind: "agreed", list };
  }
  let common = list.offeredVersions;
  for (const plugin of pluginsOf(list)) {
    const supported = await versions.supportedBy(plugin);
    if (supported === undefined) continue;
    const left = common.filter((version) => supported.includes(version));
    if (left.length === 0) {
      return {
        kind: "disagreed",
        problem: `plugin "${plugin}" knows version ${supported.join(", ")}, not ${
          common.join(" or ")
        }`,
      };
    }
    common = left;
  }
  return { kind: "agreed", list: { ...list, cniVersion: common.at(-1) ?? list.cniVersion } };
}

/** Every program that the list runs, each once. */
export function pluginsOf(list: CniList): string[] {
  return [...new Set(list.plugins.flatMap(({ type, ipam }) => ipam ? [type, ipam] : [type]))];
}
