/**
 * An absolute path without `.`, `..`, empty parts and a slash at its end; undefined if it is relative
 * or holds a line break or NUL. Symbolic links are not looked at.
 */
export function normalPath(path: string): string | undefined {
  if (!path.startsWith("/") || /[\n\r\0]/.test(path)) return undefined;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
