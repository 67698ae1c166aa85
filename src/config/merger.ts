/**
 * Lays what is said of keys over each other: defaults, files, environment, flags. What is wrong is collected.
 *
 * @module
 */
import { shown } from "../errors/mod.ts";
import { nearest } from "../errors/nearest.ts";
import { isTable, type Node } from "./_document.ts";
import { EXPECTED, valueOfNode, valueOfText } from "./_values.ts";
import {
  defaultDraft,
  type Draft,
  finished,
  type Flavour,
  type HandlerConfiguration,
  handlerDefaults,
  tableDefaults,
  type WorkloadConfiguration,
} from "./configuration.ts";
import type { ReadFile } from "./configuration_files.ts";
import type { Key, KeyValue } from "./keys.ts";
import { allKeys, type MergedConfiguration, type Notice, type Source } from "./merged.ts";
import { type KeyTable, NAMED_TABLES, TABLES } from "./schema.ts";
import { HANDLER } from "./schema/runtime_handler.ts";
import { WORKLOAD, WORKLOAD_RESOURCES } from "./schema/workload.ts";

interface Place {
  readonly file: string;
  /** As written: `sauropod` or `crio`. */
  readonly root: Flavour;
}

/** Each input that it is given counts more than those before. */
export class Merger {
  readonly #flavour: Flavour;
  readonly #draft: Draft;
  readonly #notices: Notice[] = [];
  readonly #sources = new Map<string, Source>();
  /** Keys that the file being read has set, and below which root. */
  #seen = new Map<string, Flavour>();

  constructor(flavour: Flavour) {
    this.#flavour = flavour;
    this.#draft = defaultDraft(flavour);
  }

  result(): MergedConfiguration {
    return {
      configuration: finished(this.#draft),
      flavour: this.#flavour,
      notices: this.#notices,
      sources: this.#sources,
    };
  }

  file({ path, tree }: ReadFile): void {
    this.#seen = new Map();
    for (const [name, node] of Object.entries(tree)) {
      const root = lower(name);
      if (root !== "sauropod" && root !== "crio") {
        this.#unknown({ file: path, root: this.#flavour }, name, ["sauropod", "crio"], "");
      } else if (!isTable(node)) {
        this.#wrong(root, `${path}: ${root} must be a table`);
      } else {
        this.#table({ file: path, root }, "", node);
      }
    }
  }

  environment(env: Readonly<Record<string, string | undefined>>): void {
    for (const { path, key } of flaggedKeys()) {
      for (const variable of key.env ?? []) {
        const text = env[variable];
        if (text === undefined || text === "") continue;
        this.#text(path, key, [text], { kind: "environment", name: variable });
        break;
      }
    }
    const runtimes = env.CONTAINER_RUNTIMES;
    if (runtimes !== undefined && runtimes !== "") {
      this.#handlerTexts([runtimes], { kind: "environment", name: "CONTAINER_RUNTIMES" });
    }
  }

  flags(flags: ReadonlyMap<string, readonly string[]>): void {
    for (const { path, key } of flaggedKeys()) {
      for (const name of key.flags ?? []) {
        const texts = flags.get(name);
        if (texts !== undefined) {
          this.#text(path, key, texts, { kind: "flag", name: `--${name}` });
        }
      }
    }
    const runtimes = flags.get("runtimes");
    if (runtimes !== undefined) {
      this.#handlerTexts(runtimes, { kind: "flag", name: "--runtimes" });
    }
  }

  #table(place: Place, path: string, nodes: { readonly [key: string]: Node }): void {
    const table: KeyTable = TABLES[path as keyof typeof TABLES];
    for (const [name, node] of Object.entries(nodes)) {
      const keyName = lower(name);
      const full = path === "" ? keyName : `${path}.${keyName}`;
      const key = Object.hasOwn(table, keyName) ? table[keyName] : undefined;
      if (key !== undefined) {
        this.#node(place, full, key, node);
      } else if (full === "runtime.runtimes" || full === "runtime.workloads") {
        this.#named(place, full, node);
      } else if (Object.hasOwn(TABLES, full)) {
        if (isTable(node)) this.#table(place, full, node);
        else this.#wrong(full, `${place.file}: ${place.root}.${full} must be a table`);
      } else {
        this.#unknown(place, name, [...Object.keys(table), ...tablesBelow(path)], path);
      }
    }
  }

  #node(place: Place, full: string, key: Key, node: Node): void {
    if (!this.#claim(place, full)) return;
    const value = this.#read(place, full, key, node);
    if (value !== undefined) this.#set(full, key, value, { kind: "file", name: place.file });
  }

  /** False, with an error, if this file has already said something of the key. */
  #claim(place: Place, full: string): boolean {
    const before = this.#seen.get(full);
    this.#seen.set(full, place.root);
    if (before === undefined) return true;
    this.#wrong(full, `${place.file} sets ${before}.${full} and ${place.root}.${full}`);
    return false;
  }

  #read(place: Place, full: string, key: Key, node: Node): KeyValue | undefined {
    const value = valueOfNode(key, node);
    if (value === undefined) {
      this.#wrong(
        full,
        `${place.file}: ${place.root}.${full} must be ${EXPECTED[key.type]}, not ${
          shownNode(node)
        }`,
      );
    }
    return value;
  }

  #text(full: string, key: Key, texts: readonly string[], source: Source): void {
    const value = valueOfText(key, texts);
    if (value === undefined) {
      this.#wrong(
        full,
        `${source.name} must be ${EXPECTED[key.type]}, not ${shown(texts.at(-1) ?? "")}`,
      );
    } else {
      this.#set(full, key, value, source);
    }
  }

  #set(full: string, key: Key, value: KeyValue, source: Source): void {
    const [path, name] = splitKey(full);
    const table = this.#draft.tables.get(path)!;
    const before = table[name];
    table[name] = key.appends === true && Array.isArray(before) && Array.isArray(value)
      ? [...before.filter((item) => !value.includes(item)), ...value]
      : value;
    this.#sources.set(full, source);
  }

  /** Entries replace what an earlier file or a default has under their name. */
  #named(place: Place, full: typeof NAMED_TABLES[number], node: Node): void {
    if (!isTable(node)) {
      this.#wrong(full, `${place.file}: ${place.root}.${full} must be a table`);
      return;
    }
    for (const [name, entry] of Object.entries(node)) {
      const path = `${full}.${name}`;
      if (!/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/.test(name)) {
        this.#wrong(path, `${place.file}: ${shown(name)} in ${full} is not a name`);
      } else if (!isTable(entry)) {
        this.#wrong(path, `${place.file}: ${place.root}.${path} must be a table`);
      } else if (this.#claim(place, path)) {
        if (full === "runtime.runtimes") {
          this.#draft.runtimes[name] = {
            ...handlerDefaults(),
            ...this.#entry(place, path, HANDLER, entry),
          } as HandlerConfiguration;
        } else {
          this.#draft.workloads[name] = this.#workload(place, path, entry);
        }
        this.#sources.set(path, { kind: "file", name: place.file });
      }
    }
  }

  #workload(
    place: Place,
    path: string,
    entry: { readonly [key: string]: Node },
  ): WorkloadConfiguration {
    const { resources = {}, ...rest } = entry;
    const values = isTable(resources)
      ? this.#entry(place, `${path}.resources`, WORKLOAD_RESOURCES, resources)
      : {};
    return {
      ...tableDefaults(WORKLOAD, "crio"),
      ...this.#entry(place, path, WORKLOAD, rest),
      resources: { ...tableDefaults(WORKLOAD_RESOURCES, "crio"), ...values },
    } as unknown as WorkloadConfiguration;
  }

  #entry(
    place: Place,
    path: string,
    table: KeyTable,
    nodes: { readonly [key: string]: Node },
  ): Record<string, KeyValue> {
    const values: Record<string, KeyValue> = {};
    for (const [name, node] of Object.entries(nodes)) {
      const keyName = lower(name);
      const key = Object.hasOwn(table, keyName) ? table[keyName] : undefined;
      if (key === undefined) {
        this.#unknown(place, name, Object.keys(table), path);
        continue;
      }
      const value = this.#read(place, `${path}.${keyName}`, key, node);
      if (value !== undefined) values[keyName] = value;
    }
    return values;
  }

  /** `name:path:root[:type[:privileged_without_host_devices[:config_path[:min_memory]]]]` */
  #handlerTexts(texts: readonly string[], source: Source): void {
    for (const text of texts.flatMap((item) => item.split(","))) {
      const [name = "", path, root, type = "oci", devices = "false", config = "", memory = ""] =
        text.split(":");
      if (name === "" || path === undefined || root === undefined || text.split(":").length > 7) {
        this.#wrong(
          "runtime.runtimes",
          `${source.name} must be name:path:root[:type...], not ${shown(text)}`,
        );
        continue;
      }
      this.#draft.runtimes[name] = {
        ...handlerDefaults(),
        runtime_path: path,
        runtime_root: root,
        runtime_type: type,
        privileged_without_host_devices: devices === "true",
        runtime_config_path: config,
        container_min_memory: memory,
      };
      this.#sources.set(`runtime.runtimes.${name}`, source);
    }
  }

  #unknown(place: Place, name: string, known: readonly string[], path: string): void {
    const full = path === "" ? name : `${path}.${name}`;
    const near = nearest(lower(name), known);
    const hint = near === undefined ? "" : `, perhaps ${near} is meant`;
    this.#notices.push({
      level: place.root === "sauropod" ? "error" : "warning",
      key: full,
      message: `${place.file}: there is no key ${place.root}.${full}${hint}`,
    });
  }

  #wrong(key: string, message: string): void {
    this.#notices.push({ level: "error", key, message });
  }
}

function lower(text: string): string {
  return text.toLowerCase();
}

function shownNode(node: Node): string {
  if (Array.isArray(node)) return "an array";
  if (isTable(node)) return "a table";
  return typeof node === "string" ? shown(node) : String(node);
}

function splitKey(full: string): [path: string, name: string] {
  const dot = full.lastIndexOf(".");
  return dot < 0 ? ["", full] : [full.slice(0, dot), full.slice(dot + 1)];
}

/** Names of the tables directly below one. */
function tablesBelow(path: string): string[] {
  const prefix = path === "" ? "" : `${path}.`;
  return [...Object.keys(TABLES), ...NAMED_TABLES]
    .filter((other) => other !== "" && other.startsWith(prefix))
    .map((other) => other.slice(prefix.length))
    .filter((rest) => rest !== "" && !rest.includes("."));
}

function flaggedKeys(): { readonly path: string; readonly key: Key }[] {
  return allKeys().filter(({ key }) => key.flags !== undefined || key.env !== undefined);
}
