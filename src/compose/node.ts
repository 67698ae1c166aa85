/**
 * This machine, as the rooms see it: the kernel, its processes, and the ports that `pod/` asks for.
 *
 * @module
 */
import { InvalidArgumentError, isErrno, shown } from "../errors/mod.ts";
import type { DeviceNode, ResolvedDevice } from "../oci/mod.ts";
import type { HostDevices, PodResourcePorts, RootfsFiles } from "../pod/mod.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  ByteDescriptors,
  createLinuxKernel,
  type FileStat,
  InotifyWatcher,
  type Kernel,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  NodeProcessRunner,
  type OrphanKeeper,
  PidfdWatcher,
  PosixSpawner,
  ProcTable,
  removeTree,
  RootDir,
  TcpConnections,
  unmountBelow,
  WorkerNamespaces,
} from "../sys/mod.ts";

/** The machine's parts that live as long as the server. */
export interface Machine extends Disposable {
  readonly kernel: Kernel;
  readonly processes: ProcTable;
  readonly processWatcher: PidfdWatcher;
  readonly fileWatcher: InotifyWatcher;
  readonly runner: NodeProcessRunner;
  readonly orphans: OrphanKeeper;
  readonly namespaces: WorkerNamespaces;
  readonly descriptors: ByteDescriptors;
  readonly connections: TcpConnections;
}

export function openMachine(): Machine {
  using undo = new DisposableStack();
  const kernel = createLinuxKernel();
  const processes = new ProcTable(kernel);
  const processWatcher = undo.use(new PidfdWatcher({ kernel, processes }));
  const fileWatcher = undo.use(new InotifyWatcher(kernel));
  const namespaces = undo.use(new WorkerNamespaces(kernel));
  const descriptors = undo.use(new ByteDescriptors(kernel));
  const connections = new TcpConnections({ kernel, sockets: namespaces, descriptors });
  const spawner = undo.use(new PosixSpawner(kernel));
  spawner.reapOrphans();
  const runner = new NodeProcessRunner(spawner);
  const owned = undo.move();
  return {
    kernel,
    processes,
    processWatcher,
    fileWatcher,
    runner,
    orphans: spawner,
    namespaces,
    descriptors,
    connections,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Mounts of pods, by the kernel. */
export function podMounts(kernel: Kernel): PodResourcePorts["mounts"] {
  return {
    mountTmpfs(path, { sizeBytes, mode }): void {
      const options = `mode=${mode.toString(8)},size=${sizeBytes}`;
      kernel.mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
    },
    unmountTree(path): Promise<void> {
      unmountBelow(kernel, path);
      return Promise.resolve();
    },
  };
}

/**
 * Directories of pods: a handful of small files, removed on this thread. What containers filled may be
 * large and is removed by `removeLarge`, which works elsewhere.
 */
export function podTrees(
  kernel: Kernel,
  removeLarge: (path: string) => Promise<void>,
): PodResourcePorts["trees"] {
  return {
    async removeTree(path): Promise<void> {
      const volumes = `${path}/volumes`;
      if (statOf(kernel, volumes) !== undefined) await removeLarge(volumes);
      removeTree(kernel, path);
    },
  };
}

/** Files in root file systems, never out of them. */
export function rootfsFiles(kernel: Kernel): RootfsFiles {
  return {
    read(rootfs, path, limitBytes): Uint8Array | undefined {
      using root = RootDir.open(kernel, rootfs);
      return root.readFile(path, limitBytes);
    },
    makeDirectory(rootfs, path, { uid, gid, field }): string {
      using root = RootDir.open(kernel, rootfs);
      try {
        using directory = root.makeDirectories(path, { mode: 0o755, uid, gid });
        return openedPath(directory.number).slice(openedPath(root.fd).length) || "/";
      } catch (error) {
        if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
        throw new InvalidArgumentError(
          `${
            shown(path)
          } is no directory of the image and cannot become one: a file or a link is in the way`,
          { field, value: path, cause: error },
        );
      }
    },
    linkIfAbsent(rootfs, path, target): void {
      using root = RootDir.open(kernel, rootfs);
      try {
        const folder = path.slice(0, path.lastIndexOf("/"));
        root.makeDirectories(folder, { mode: 0o755, uid: 0, gid: 0 }).close();
        root.createSymlink(path, target, { uid: 0, gid: 0 });
      } catch (error) {
        // Something is there, or the image has a file or a broken link where the folder should be.
        if (!isErrno(error, "EEXIST", "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    },
  };
}

/** Where an open directory is, as this process sees it. */
function openedPath(fd: number): string {
  return Deno.readLinkSync(`/proc/self/fd/${fd}`);
}

const DEVICES = "/dev";
/** The container gets its own of these. */
const OWN_DEVICE_FOLDERS = new Set(["pts", "shm", "mqueue", "fd", ".lxc", ".lxd-mounts"]);
const OWN_DEVICES = new Set(["console", "ptmx"]);

/** The host's device nodes. */
export function hostDevices(kernel: Kernel): HostDevices {
  return {
    all: () => [...devicesBelow(kernel, DEVICES)],
    resolve: (devices, fieldOf) =>
      devices.flatMap((device, index) => {
        const field = fieldOf(index);
        const found = nodesAt(kernel, device.hostPath, field);
        if (found.length === 0) {
          throw new InvalidArgumentError(`${field} ${shown(device.hostPath)} is not a device`, {
            field,
            value: device.hostPath,
            remedy: "give the path of a device node, or of a directory of them",
          });
        }
        return found.map((node): ResolvedDevice => {
          const given = device.containerPath || device.hostPath;
          const containerPath = given + node.path.slice(device.hostPath.length);
          return {
            containerPath,
            permissions: device.permissions,
            node,
            shadowsHostDevice: containerPath !== node.path &&
              deviceAt(kernel, containerPath) !== undefined,
          };
        });
      }),
  };
}

/** A request's directory holds devices, not a file system that would be walked for minutes. */
const LARGEST_FOLDER = 1024;

function nodesAt(kernel: Kernel, path: string, field: string): DeviceNode[] {
  const node = deviceAt(kernel, path);
  if (node !== undefined) return [node];
  if (statOf(kernel, path)?.type !== "directory") return [];
  let entries = 0;
  const count = () => {
    if (++entries <= LARGEST_FOLDER) return;
    throw new InvalidArgumentError(
      `${field} ${shown(path)} is a directory with more than ${LARGEST_FOLDER} entries`,
      { field, value: path, remedy: "name the devices, or a directory of devices alone" },
    );
  };
  return [...devicesBelow(kernel, path, count)];
}

/** @param onEntry called for each entry; may throw to end the walk */
function* devicesBelow(
  kernel: Kernel,
  folder: string,
  onEntry: () => void = () => {},
): Generator<DeviceNode> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    onEntry();
    const path = `${folder}/${name}`;
    if (isDirectory) {
      if (!OWN_DEVICE_FOLDERS.has(name)) yield* devicesBelow(kernel, path, onEntry);
    } else if (!OWN_DEVICES.has(name)) {
      const node = deviceAt(kernel, path);
      if (node !== undefined) yield node;
    }
  }
}

function deviceAt(kernel: Kernel, path: string): DeviceNode | undefined {
  const stat = statOf(kernel, path);
  if (stat?.type !== "char" && stat?.type !== "block") return undefined;
  const { mode, uid, gid, rdevMajor: major, rdevMinor: minor } = stat;
  return { path, type: stat.type === "char" ? "c" : "b", major, minor, mode, uid, gid };
}

function statOf(kernel: Kernel, path: string): FileStat | undefined {
  try {
    return kernel.statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
  } catch {
    // Whatever cannot be looked at cannot be given to a container.
    return undefined;
  }
}
