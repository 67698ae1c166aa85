/**
 * Where a worker's code lies: beside the module in the source tree, beside the bundle in a build.
 *
 * @module
 */

/**
 * @param moduleUrl `import.meta.url` of the module that starts the worker
 * @param relative path of the worker's file relative to that module, such as `./unpack_worker.ts`;
 *   its base name is unique in the project, because a build puts all workers into one folder
 */
export function workerUrl(moduleUrl: string, relative: string): URL {
  if (moduleUrl.endsWith(".ts")) return new URL(relative, moduleUrl);
  const name = relative.slice(relative.lastIndexOf("/") + 1).replace(/\.ts$/, ".js");
  return new URL(name, moduleUrl);
}
