/**
 * The configuration in force, and how another takes its place while the server runs.
 *
 * A reload is all or nothing: every part of the server first prepares for the new values, which may fail,
 * and only when all have does any of them take them. What needs a restart keeps its value and is named.
 *
 * @module
 */
import { sameValue } from "./_values.ts";
import type { Configuration, HandlerConfiguration } from "./configuration.ts";
import type { LoadedConfiguration } from "./load.ts";
import { assertUsable } from "./load.ts";
import { allKeys, valueAt } from "./merged.ts";

/** A part of the server that works by keys which may change. */
export interface ConfigurationPart {
  /**
   * Makes ready for a configuration: looks for programs, reads files. Changes nothing yet.
   *
   * @returns puts it into effect; must not fail
   */
  prepare(next: Configuration): Promise<() => void>;
}

export interface ReloadReport {
  /** Keys whose new values are in effect. */
  readonly changed: readonly string[];
  /** Keys that changed in the files and take effect at the next start. */
  readonly needRestart: readonly string[];
}

export class LiveConfiguration {
  readonly #load: () => Promise<LoadedConfiguration>;
  readonly #parts: ConfigurationPart[] = [];
  #current: Configuration;
  #reloading: Promise<unknown> = Promise.resolve();

  /** @param load reads everything again, by the same options as at the start */
  constructor(started: LoadedConfiguration, load: () => Promise<LoadedConfiguration>) {
    this.#current = started.configuration;
    this.#load = load;
  }

  get current(): Configuration {
    return this.#current;
  }

  add(part: ConfigurationPart): void {
    this.#parts.push(part);
  }

  /**
   * Reads the files again. Reloads run one after the other.
   *
   * @throws {SauropodError} a file is missing or wrong, or a part cannot work by it: says why; the
   *   configuration in force stays as it is
   */
  reload(): Promise<ReloadReport> {
    const mine = this.#reloading.then(() => this.#reload());
    this.#reloading = mine.catch(() => {});
    return mine;
  }

  async #reload(): Promise<ReloadReport> {
    const loaded = await this.#load();
    assertUsable(loaded);
    const { next, ...report } = merged(this.#current, loaded.configuration);
    // Also without a changed key: what the keys point to, such as a seccomp profile, may have changed.
    const commits = await Promise.all(this.#parts.map((part) => part.prepare(next)));
    this.#current = next;
    for (const commit of commits) commit();
    return report;
  }
}

/** The old configuration with what may change of the new one. */
function merged(
  before: Configuration,
  after: Configuration,
): ReloadReport & { readonly next: Configuration } {
  const changed: string[] = [];
  const needRestart: string[] = [];
  const tables = structuredClone(before) as unknown as Record<string, Record<string, unknown>>;
  for (const { path, key } of allKeys()) {
    const value = valueAt(after, path);
    if (sameValue(value, valueAt(before, path))) continue;
    if (key.standing !== "effective") continue;
    if (key.reload !== "sighup") {
      needRestart.push(path);
      continue;
    }
    changed.push(path);
    setAt(tables, path, value);
  }
  const runtimes = mergedHandlers(before.runtime.runtimes, after.runtime.runtimes);
  setAt(tables, "runtime.runtimes", runtimes.next);
  if (!sameTable(after.runtime.workloads, before.runtime.workloads)) {
    needRestart.push("runtime.workloads");
  }
  return {
    next: tables as unknown as Configuration,
    changed: [...changed, ...runtimes.changed],
    needRestart: [...needRestart, ...runtimes.needRestart],
  };
}

type Handlers = Readonly<Record<string, HandlerConfiguration>>;

/** Containers of a handler have their state below its root: that does not move while the server runs. */
function mergedHandlers(
  before: Handlers,
  after: Handlers,
): ReloadReport & { readonly next: Handlers } {
  const next: Record<string, HandlerConfiguration> = {};
  const changed: string[] = [];
  const needRestart: string[] = [];
  for (const [name, handler] of Object.entries(after)) {
    const old = before[name];
    const path = `runtime.runtimes.${name}`;
    const rootMoved = old !== undefined && old.runtime_root !== handler.runtime_root;
    if (rootMoved) needRestart.push(`${path}.runtime_root`);
    next[name] = rootMoved ? { ...handler, runtime_root: old.runtime_root } : handler;
    if (!sameTable(next[name], old)) changed.push(path);
  }
  for (const name of Object.keys(before)) {
    if (after[name] === undefined) changed.push(`runtime.runtimes.${name}`);
  }
  return { next, changed, needRestart };
}

/** Named tables are filled in the schema's order, whatever the file's. */
function sameTable(left: object | undefined, right: object | undefined): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function setAt(
  tables: Record<string, Record<string, unknown>>,
  path: string,
  value: unknown,
): void {
  const names = path.includes(".") ? path.split(".") : ["base", path];
  let node: Record<string, unknown> = tables;
  for (const name of names.slice(0, -1)) node = node[name] as Record<string, unknown>;
  node[names.at(-1) ?? ""] = value;
}
