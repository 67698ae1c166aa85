/**
 * Lines for the image's passwd and group files when they do not know the container's user: many
 * programs fail without an entry.
 *
 * @module
 */
import { parseGroup, parsePasswd, type ResolvedUser } from "./user.ts";

/**
 * The image's passwd file with a line for the user, or undefined if none is needed or there is no
 * file. Only numbers and `home` reach the line, so nothing can forge a second one (CVE-2022-4318).
 *
 * @param home the working directory; `/` is taken for one that cannot stand in the file
 */
export function completedPasswd(
  passwd: Uint8Array | undefined,
  user: ResolvedUser,
  home: string,
): Uint8Array | undefined {
  if (passwd === undefined || parsePasswd(passwd).some(({ uid }) => uid === user.uid)) {
    return undefined;
  }
  return withLine(
    passwd,
    `${user.uid}:x:${user.uid}:${user.gid}:${user.uid} user:${safeField(home)}:/sbin/nologin`,
  );
}

/** The image's group file with a line for the primary group, as {@link completedPasswd}. */
export function completedGroup(
  group: Uint8Array | undefined,
  user: ResolvedUser,
): Uint8Array | undefined {
  if (group === undefined || parseGroup(group).some(({ gid }) => gid === user.gid)) {
    return undefined;
  }
  return withLine(group, `${user.gid}:x:${user.gid}:`);
}

function safeField(path: string): string {
  // deno-lint-ignore no-control-regex -- separators and everything invisible
  return path.startsWith("/") && !/[:\0-\x1f\x7f]/.test(path) ? path : "/";
}

function withLine(file: Uint8Array, line: string): Uint8Array {
  const newline = "\n".charCodeAt(0);
  const gap = file.length > 0 && file.at(-1) !== newline ? "\n" : "";
  const added = new TextEncoder().encode(`${gap}${line}\n`);
  const whole = new Uint8Array(file.length + added.length);
  whole.set(file);
  whole.set(added, file.length);
  return whole;
}
