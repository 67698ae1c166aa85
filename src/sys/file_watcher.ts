/**
 * Changes of directories as callbacks: one inotify descriptor on the event loop.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { adoptStream, descriptorOf } from "./adopted.ts";
import { decodePath } from "./bytes_path.ts";
import {
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
} from "./constants.ts";
import type { Kernel } from "./kernel.ts";
import type { FileEvent, FileWatcher } from "./watching.ts";

const MASK = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
const GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;
const HEADER = 16;

/** One `struct inotify_event`. */
export interface InotifyEvent {
  readonly watch: number;
  readonly mask: number;
  readonly name: string;
}

/** The events of one read of an inotify descriptor. */
export function* decodeInotify(bytes: Uint8Array): Generator<InotifyEvent> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = view.getUint32(at + 12, true);
    const name = bytes.subarray(at + HEADER, at + HEADER + length);
    const end = name.indexOf(0);
    yield {
      watch: view.getInt32(at, true),
      mask: view.getUint32(at + 4, true),
      name: decodePath(end < 0 ? name : name.subarray(0, end)),
    };
    at += HEADER + length;
  }
}

type Listener = (event: FileEvent) => void;

export class InotifyWatcher implements FileWatcher {
  readonly #kernel: Kernel;
  readonly #socket: ReturnType<typeof adoptStream>;
  /** The kernel gives one watch a directory: several listeners share it. */
  readonly #listeners = new Map<number, Set<Listener>>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#socket = adoptStream(kernel.inotifyInit());
    this.#socket.unref();
    this.#socket.on("data", (chunk: Uint8Array) => {
      for (const event of decodeInotify(chunk)) this.#dispatch(event);
    });
  }

  watchDirectory(path: string, onEvent: Listener): Disposable {
    const watch = this.#kernel.inotifyAddWatch(this.#fd(), path, MASK);
    const listener: Listener = (event) => onEvent(event);
    const listeners = this.#listeners.get(watch) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(watch, listeners);
    this.#socket.ref();
    return { [Symbol.dispose]: () => this.#forget(watch, listeners, listener) };
  }

  [Symbol.dispose](): void {
    this.#listeners.clear();
    this.#socket.destroy();
  }

  #fd(): number {
    const fd = descriptorOf(this.#socket);
    if (fd === undefined) throw new Error("The file watcher is closed");
    return fd;
  }

  #dispatch({ watch, mask, name }: InotifyEvent): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      for (const listeners of this.#listeners.values()) tell(listeners, { kind: "rescan" });
      return;
    }
    const listeners = this.#listeners.get(watch);
    if (listeners === undefined) return;
    const kind = kindOf(mask);
    if (kind !== undefined) tell(listeners, { kind, name });
    if ((mask & GONE) === 0) return;
    // The kernel may say several of these for one end; the first is enough.
    this.#listeners.delete(watch);
    if ((mask & IN_IGNORED) === 0) this.#removeWatch(watch);
    tell(listeners, { kind: "rescan" });
    if (this.#listeners.size === 0) this.#socket.unref();
  }

  #forget(watch: number, listeners: Set<Listener>, listener: Listener): void {
    listeners.delete(listener);
    if (listeners.size > 0 || this.#listeners.get(watch) !== listeners) return;
    this.#listeners.delete(watch);
    this.#removeWatch(watch);
    if (this.#listeners.size === 0) this.#socket.unref();
  }

  #removeWatch(watch: number): void {
    const fd = descriptorOf(this.#socket);
    if (fd === undefined) return;
    try {
      this.#kernel.inotifyRemoveWatch(fd, watch);
    } catch (error) {
      // The directory is gone and the watch with it.
      if (!isErrno(error, "EINVAL")) throw error;
    }
  }
}

function kindOf(mask: number): "written" | "movedTo" | "created" | "removed" | undefined {
  if ((mask & IN_CLOSE_WRITE) !== 0) return "written";
  if ((mask & IN_MOVED_TO) !== 0) return "movedTo";
  if ((mask & IN_CREATE) !== 0) return "created";
  return (mask & (IN_DELETE | IN_MOVED_FROM)) !== 0 ? "removed" : undefined;
}

function tell(listeners: ReadonlySet<Listener>, event: FileEvent): void {
  for (const listener of [...listeners]) {
    try {
      listener(event);
    } catch (error) {
      // A callback's defect must not cost the other listeners their news.
      reportError(error);
    }
  }
}
