/**
 * The thread on which namespaces are made and pinned. Everything between leaving the node's
 * namespaces and coming back is synchronous: nothing else can run on this thread meanwhile.
 *
 * @module
 */
import { AlreadyExistsError, FailedPreconditionError, isErrno } from "../errors/mod.ts";
import {
  AT_FDCWD,
  CLONE_FS,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWUTS,
  MNT_DETACH,
  MS_BIND,
  NSFS_MAGIC,
  O_CREAT,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  UMOUNT_NOFOLLOW,
} from "./constants.ts";
import { type DescriptorSlot, fillSlot } from "./descriptor_slot.ts";
import type { Fd } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import type {
  NamespaceRequest,
  NamespaceSocketRequest,
  PidPinRequest,
  PinnableNamespace,
} from "./namespaces.ts";
import { Sysctls } from "./sysctl.ts";
import { serveWorker } from "./worker_host.ts";

export type NamespaceOperations = {
  create: { request: NamespaceRequest; reply: void };
  pinPid: { request: PidPinRequest; reply: void };
  release: { request: string; reply: void };
  socket: { request: NamespaceSocketRequest & { made: DescriptorSlot }; reply: void };
};

const FLAGS: Readonly<Record<PinnableNamespace, number>> = {
  net: CLONE_NEWNET,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
};

const kernel = createLinuxKernel();
// The umask is shared by all threads of the process until one leaves.
kernel.unshare(CLONE_FS);
kernel.umask(0o077);
const home: Readonly<Record<PinnableNamespace, Fd>> = {
  net: kernel.open("/proc/thread-self/ns/net", O_RDONLY),
  ipc: kernel.open("/proc/thread-self/ns/ipc", O_RDONLY),
  uts: kernel.open("/proc/thread-self/ns/uts", O_RDONLY),
};
const sysctls = new Sysctls(kernel);

serveWorker<NamespaceOperations>({
  create: (request, { retire }) => {
    const kinds = Object.keys(request.pins) as PinnableNamespace[];
    if (kinds.length === 0) return;
    using undo = new DisposableStack();
    for (const kind of kinds) undo.use(makePinFile(request.pins[kind] ?? ""));
    try {
      kernel.unshare(kinds.reduce((flags, kind) => flags | FLAGS[kind], 0));
      if (request.pins.net !== undefined) kernel.bringInterfaceUp("lo");
      if (request.hostname !== undefined && request.pins.uts !== undefined) {
        kernel.sethostname(request.hostname);
      }
      for (const [name, value] of Object.entries(request.sysctls)) sysctls.write(name, value);
      for (const kind of kinds) {
        kernel.mount(`/proc/thread-self/ns/${kind}`, request.pins[kind] ?? "", null, MS_BIND, null);
      }
    } finally {
      if (!goHome(kinds)) retire();
    }
    undo.move();
  },
  pinPid: ({ pid, path }) => {
    using undo = new DisposableStack();
    undo.use(makePinFile(path));
    kernel.mount(`/proc/${pid}/ns/pid`, path, null, MS_BIND, null);
    undo.move();
  },
  release: (path) => removePin(path),
  // The descriptor is the process's: it outlives this thread, and the caller closes it.
  socket: ({ netnsPath, domain, made }, { retire }) => {
    using netns = kernel.open(netnsPath, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (kernel.fstatfs(netns.number).type !== NSFS_MAGIC) {
      throw new FailedPreconditionError(`There is no network namespace at ${netnsPath}`, {
        path: netnsPath,
      });
    }
    try {
      kernel.setns(netns.number, CLONE_NEWNET);
      const socket = kernel.socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0);
      fillSlot(made, socket);
    } finally {
      if (!goHome(["net"])) retire();
    }
  },
});

/** Makes the file that a namespace is mounted on; disposing removes it with what is mounted there. */
function makePinFile(path: string): Disposable {
  makeDirectories(path.slice(0, path.lastIndexOf("/")));
  using file = kernel.open(path, O_RDONLY | O_CREAT | O_NOFOLLOW, 0o600);
  if (kernel.fstatfs(file.number).type === NSFS_MAGIC) {
    throw new AlreadyExistsError(`A namespace is already pinned at ${path}`, { path });
  }
  return { [Symbol.dispose]: () => removePin(path) };
}

function makeDirectories(path: string): void {
  if (path === "") return;
  try {
    kernel.mkdirat(AT_FDCWD, path, 0o700);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!isErrno(error, "ENOENT")) throw error;
    makeDirectories(path.slice(0, path.lastIndexOf("/")));
    makeDirectories(path);
  }
}

function removePin(path: string): void {
  // Something may have been mounted on top of it; EINVAL says that nothing is any more.
  for (;;) {
    try {
      kernel.umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
    } catch (error) {
      if (isErrno(error, "EINVAL")) break;
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
  }
  try {
    kernel.unlinkat(AT_FDCWD, path, 0);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** False if the thread could not return to every namespace. */
function goHome(kinds: readonly PinnableNamespace[]): boolean {
  let all = true;
  for (const kind of kinds) {
    try {
      kernel.setns(home[kind].number, FLAGS[kind]);
    } catch {
      all = false;
    }
  }
  return all;
}
