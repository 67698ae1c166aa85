/**
 * {@link Namespaces} on a worker thread of their own: a process with one thread in another namespace
 * needs no helper program.
 *
 * @module
 */
import { InternalError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { newSlot, takeFrom } from "./descriptor_slot.ts";
import type { NamespaceOperations } from "./namespace_worker.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import type {
  NamespaceRequest,
  Namespaces,
  NamespaceSocketRequest,
  NamespaceSockets,
  PidPinRequest,
} from "./namespaces.ts";
import { WorkerChannel } from "./worker_channel.ts";
import { workerUrl } from "./workers.ts";

export class WorkerNamespaces implements Namespaces, NamespaceSockets, Disposable {
  readonly #kernel: Pick<Kernel, "own">;

  readonly #worker = new WorkerChannel<NamespaceOperations>({
    url: workerUrl(import.meta.url, "./namespace_worker.ts"),
    name: "namespace worker",
    // One at a time, so that a thread that must be discarded has no other calls to lose.
    maxInFlight: 1,
    maxOldGenerationSizeMb: 32,
  });

  constructor(kernel: Pick<Kernel, "own"> = createLinuxKernel()) {
    this.#kernel = kernel;
  }

  /** Starts the thread, so that the first pod does not wait for it. */
  start(): Promise<void> {
    return this.#worker.start();
  }

  async create(request: NamespaceRequest): Promise<void> {
    for (const path of Object.values(request.pins)) checkPin(path);
    await this.#worker.call("create", request);
  }

  async pinPid(request: PidPinRequest): Promise<void> {
    checkPin(request.path);
    await this.#worker.call("pinPid", request);
  }

  async release(pinPath: string): Promise<void> {
    checkPin(pinPath);
    await this.#worker.call("release", pinPath);
  }

  async socket(request: NamespaceSocketRequest): Promise<Fd> {
    checkPin(request.netnsPath);
    const made = newSlot();
    try {
      await this.#worker.call("socket", { ...request, made });
    } catch (error) {
      // The thread may have died when it had made one.
      takeFrom(made, this.#kernel)?.close();
      throw error;
    }
    const socket = takeFrom(made, this.#kernel);
    if (socket !== undefined) return socket;
    throw new InternalError(
      "The namespace worker says that it has made a socket, and there is none",
    );
  }

  /** Ends the thread as a crash would: calls are answered Unavailable, the next starts a new one. */
  terminate(): void {
    this.#worker.terminate();
  }

  [Symbol.dispose](): void {
    this.#worker[Symbol.dispose]();
  }
}

function checkPin(path: string): void {
  if (!path.startsWith("/") || path.endsWith("/") || /\0|(?:^|\/)\.{1,2}(?:\/|$)/.test(path)) {
    throw new InvalidArgumentError(`Namespace pin ${shown(path)} is not an absolute plain path`, {
      value: path,
    });
  }
}
