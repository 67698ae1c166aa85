/**
 * Every sandbox and container of this node: the record in the database, a copy of it in memory, and
 * the message that lists show, kept encoded.
 *
 * The database is written first, then memory: what a caller can see has been committed.
 *
 * @module
 */
import { InvalidArgumentError, NotFoundError, shown } from "../errors/mod.ts";
import type { ContainerId, JsonObject, SandboxId } from "../model/mod.ts";
import type { RecordTable } from "../state/records.ts";
import {
  type ContainerRecord,
  containerToJson,
  isVisible as containerVisible,
} from "./container.ts";
import type { Change } from "./event.ts";
import { listedContainer, listedSandbox } from "./listing.ts";
import { isVisible as sandboxVisible, type SandboxRecord, sandboxToJson } from "./sandbox.ts";

/**
 * Copies of the records beside what they describe, from which a lost database is rebuilt. Written
 * behind the caller's back, newest value last.
 */
export interface RecordMirror {
  write(kind: "sandbox" | "container", id: string, value: JsonObject): void;
  /** Nothing is written for the id after this resolves. */
  forget(kind: "sandbox" | "container", id: string): Promise<void>;
}

/** Told of each commit when memory has it, too: in the turn of the commit, and in the order of commits. */
export interface CommitObserver {
  sandboxCommitted(change: Change<SandboxRecord>): void;
  containerCommitted(change: Change<ContainerRecord>): void;
}

export interface RegistryOptions {
  readonly sandboxes: RecordTable;
  readonly containers: RecordTable;
  readonly mirror: RecordMirror;
}

interface Entry<R> {
  readonly record: R;
  /** Encoded on first use: most records change more often than they are listed. */
  encoded?: Uint8Array;
}

export class PodRegistry {
  readonly #options: RegistryOptions;
  readonly #sandboxes = new Map<SandboxId, Entry<SandboxRecord>>();
  readonly #containers = new Map<ContainerId, Entry<ContainerRecord>>();
  readonly #members = new Map<SandboxId, Set<ContainerId>>();
  #observer: CommitObserver | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** From now on `observer` is told of every commit; it must not throw. */
  observe(observer: CommitObserver): void {
    this.#observer = observer;
  }

  putSandbox(record: SandboxRecord): void {
    const before = this.sandbox(record.id);
    const json = sandboxToJson(record);
    this.#options.sandboxes.put(record.id, json);
    this.#sandboxes.set(record.id, { record });
    if (sandboxVisible(record)) this.#options.mirror.write("sandbox", record.id, json);
    this.#observer?.sandboxCommitted({ before, after: record });
  }

  /** Takes over a record that is in the database already. */
  loadSandbox(record: SandboxRecord): void {
    this.#sandboxes.set(record.id, { record });
  }

  deleteSandbox(id: SandboxId): void {
    const before = this.sandbox(id);
    this.#options.sandboxes.delete(id);
    this.#sandboxes.delete(id);
    this.#members.delete(id);
    this.#observer?.sandboxCommitted({ before, after: undefined });
  }

  /**
   * Forgets a sandbox that was never made. Its name is free after this even if it throws: a row that
   * cannot be deleted says "creating", and the next start undoes it like any that a crash left.
   *
   * @throws what the database says
   */
  discardSandbox(id: SandboxId): void {
    this.#sandboxes.delete(id);
    this.#members.delete(id);
    this.#options.sandboxes.delete(id);
  }

  putContainer(record: ContainerRecord): void {
    const before = this.container(record.id);
    const json = containerToJson(record);
    this.#options.containers.put(record.id, json);
    this.loadContainer(record);
    if (containerVisible(record)) this.#options.mirror.write("container", record.id, json);
    this.#observer?.containerCommitted({ before, after: record });
  }

  /** Resolves when no copy of the record is being written: its directory may be removed now. */
  settled(kind: "sandbox" | "container", id: string): Promise<void> {
    return this.#options.mirror.forget(kind, id);
  }

  /** Takes over a record that is in the database already. */
  loadContainer(record: ContainerRecord): void {
    this.#containers.set(record.id, { record });
    const members = this.#members.get(record.sandboxId) ?? new Set();
    this.#members.set(record.sandboxId, members.add(record.id));
  }

  deleteContainer(id: ContainerId): void {
    const record = this.#containers.get(id)?.record;
    this.#options.containers.delete(id);
    this.#containers.delete(id);
    if (record !== undefined) this.#members.get(record.sandboxId)?.delete(id);
    this.#observer?.containerCommitted({ before: record, after: undefined });
  }

  /** The same for a container as {@link discardSandbox}. */
  discardContainer(id: ContainerId): void {
    const record = this.#containers.get(id)?.record;
    this.#containers.delete(id);
    if (record !== undefined) this.#members.get(record.sandboxId)?.delete(id);
    this.#options.containers.delete(id);
  }

  /** By exact id, whatever its state. */
  sandbox(id: SandboxId): SandboxRecord | undefined {
    return this.#sandboxes.get(id)?.record;
  }

  container(id: ContainerId): ContainerRecord | undefined {
    return this.#containers.get(id)?.record;
  }

  /** The visible sandbox with this id or unique id prefix. @throws {InvalidArgumentError} it fits two */
  findSandbox(idOrPrefix: string): SandboxRecord | undefined {
    return findByPrefix(this.#sandboxes, idOrPrefix, sandboxVisible, "pod_sandbox_id");
  }

  findContainer(idOrPrefix: string): ContainerRecord | undefined {
    return findByPrefix(this.#containers, idOrPrefix, containerVisible, "container_id");
  }

  /** @throws {NotFoundError} no visible sandbox has this id or prefix */
  requireSandbox(idOrPrefix: string): SandboxRecord {
    return this.findSandbox(idOrPrefix) ?? notFound("sandbox", "pod_sandbox_id", idOrPrefix);
  }

  /** @throws {NotFoundError} no visible container has this id or prefix */
  requireContainer(idOrPrefix: string): ContainerRecord {
    return this.findContainer(idOrPrefix) ?? notFound("container", "container_id", idOrPrefix);
  }

  /** True if the id is that of a sandbox or container in any state. */
  has(id: string): boolean {
    return this.#sandboxes.has(id as SandboxId) || this.#containers.has(id as ContainerId);
  }

  *sandboxes(): Iterable<SandboxRecord> {
    for (const { record } of this.#sandboxes.values()) yield record;
  }

  *containers(): Iterable<ContainerRecord> {
    for (const { record } of this.#containers.values()) yield record;
  }

  /** Containers of a sandbox in every state, oldest first. */
  containersOf(id: SandboxId): ContainerRecord[] {
    return [...this.#members.get(id) ?? []]
      .map((member) => this.#containers.get(member)?.record)
      .filter((record) => record !== undefined);
  }

  encodedSandbox(record: SandboxRecord): Uint8Array {
    const entry = this.#sandboxes.get(record.id);
    if (entry?.record !== record) return listedSandbox(record);
    return entry.encoded ??= listedSandbox(record);
  }

  encodedContainer(record: ContainerRecord): Uint8Array {
    const entry = this.#containers.get(record.id);
    if (entry?.record !== record) return listedContainer(record);
    return entry.encoded ??= listedContainer(record);
  }
}

function findByPrefix<R extends { readonly id: string }>(
  entries: ReadonlyMap<string, Entry<R>>,
  prefix: string,
  visible: (record: R) => boolean,
  field: string,
): R | undefined {
  const exact = entries.get(prefix)?.record;
  if (exact !== undefined) return visible(exact) ? exact : undefined;
  if (prefix === "" || prefix.length >= 64) return undefined;
  let found: R | undefined;
  for (const [id, { record }] of entries) {
    if (!id.startsWith(prefix) || !visible(record)) continue;
    if (found !== undefined) {
      throw new InvalidArgumentError(
        `${field} ${shown(prefix)} fits more than one id: ${found.id} and ${id}`,
        { field, value: prefix, remedy: "give more digits of the id" },
      );
    }
    found = record;
  }
  return found;
}

function notFound(noun: string, field: string, value: string): never {
  throw new NotFoundError(`There is no ${noun} ${shown(value)}`, {
    field,
    value,
    remedy: `list the ${noun === "sandbox" ? "pods" : "containers"} to see the ids`,
  });
}
