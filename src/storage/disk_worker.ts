/** Worker for what may take long on our own files; see {@link DiskOperations}. @module */
import { isErrno } from "../errors/mod.ts";
import {
  AT_FDCWD,
  createLinuxKernel,
  MNT_DETACH,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  serveWorker,
  UMOUNT_NOFOLLOW,
} from "../sys/mod.ts";
import { removeBelow } from "./_remove_below.ts";
import type { DiskOperations } from "./storage_operations.ts";
import { manifestOf, type TreeManifest } from "./tree_manifest.ts";

const kernel = createLinuxKernel();

serveWorker<DiskOperations>({
  remove({ path }) {
    const slash = path.lastIndexOf("/");
    try {
      using parent = kernel.openat(AT_FDCWD, path.slice(0, slash + 1), O_PATH | O_DIRECTORY);
      removeBelow(kernel, parent.number, path.slice(slash + 1));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  },
  sync({ path }) {
    using fd = kernel.open(path, O_RDONLY | O_DIRECTORY);
    kernel.syncfs(fd.number);
  },
  manifest: ({ path }) => manifestIfThere(path),
  measure: ({ paths }) =>
    paths.map((path) => {
      const manifest = manifestIfThere(path);
      return { bytes: manifest?.diskBytes ?? 0n, inodes: manifest?.inodes ?? 0 };
    }),
  unmount({ path }) {
    try {
      kernel.umount2(path, UMOUNT_NOFOLLOW);
    } catch (error) {
      // A program of the host that looks around in it must not keep a container from being removed: the
      // mount leaves the tree now and ends when the last user does.
      if (isErrno(error, "EBUSY")) kernel.umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
      // EINVAL: nothing is mounted there. ENOENT: the mount point itself is gone.
      else if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
    }
  },
});

function manifestIfThere(path: string): TreeManifest | undefined {
  try {
    return manifestOf(kernel, path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
