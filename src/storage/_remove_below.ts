/** @module */
import { isErrno } from "../errors/mod.ts";
import {
  AT_REMOVEDIR,
  type Fd,
  type Kernel,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "../sys/mod.ts";

/**
 * Removes one name of a directory and everything below it, following no link. Every directory is opened
 * by its name in its parent's descriptor, so no path can be bent on the way.
 */
export function removeBelow(kernel: Kernel, dirFd: number, name: string): void {
  try {
    kernel.unlinkat(dirFd, name, 0);
    return;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "EISDIR", "EPERM")) throw error;
  }
  const stack: { readonly fd: Fd; readonly name: string; readonly names: string[] }[] = [];
  const enter = (parent: number, child: string): void => {
    const fd = kernel.openat(parent, child, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      stack.push({ fd, name: child, names: kernel.readdir(fd.number).map((entry) => entry.name) });
    } catch (error) {
      fd.close();
      throw error;
    }
  };
  try {
    enter(dirFd, name);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top === undefined) break;
      const child = top.names.pop();
      if (child === undefined) {
        stack.pop();
        top.fd.close();
        kernel.unlinkat(stack.at(-1)?.fd.number ?? dirFd, top.name, AT_REMOVEDIR);
      } else if (!unlinked(kernel, top.fd.number, child)) enter(top.fd.number, child);
    }
  } finally {
    for (const { fd } of stack) fd.close();
  }
}

/** False if the name is a directory. */
function unlinked(kernel: Kernel, dirFd: number, name: string): boolean {
  try {
    kernel.unlinkat(dirFd, name, 0);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    if (isErrno(error, "EISDIR", "EPERM")) return false;
    throw error;
  }
}
