/**
 * The volumes of a pod on the node: folders of its own, files from its manifest, and paths that are
 * there already.
 *
 * @module
 */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { type PodFacts, podFieldText } from "./pod_fields.ts";
import type { PodManifest } from "./pod_manifest.ts";
import type { HostPathType, Volume, VolumeFile } from "./volume_manifest.ts";

/** Where the volumes of a pod are on the node: absolute path by name. */
export type VolumePaths = ReadonlyMap<string, string>;

/** Link to the folder with the files of a volume, as the kubelet names it. */
export const DATA_LINK = "..data";

/**
 * Checks the paths of the node that a pod wants, and makes those that may be made.
 *
 * @throws {FailedPreconditionError} one is not what the manifest says
 */
export async function prepareHostPaths(volumes: ReadonlyMap<string, Volume>): Promise<void> {
  for (const volume of volumes.values()) {
    if (volume.kind === "hostPath") await prepareHostPath(volume.path, volume.type);
  }
}

/**
 * Makes what belongs to the pod alone below `directory`, which only root can enter.
 *
 * @returns the paths of all volumes
 */
export async function makeVolumes(
  pod: PodManifest,
  directory: string,
  facts: PodFacts,
): Promise<VolumePaths> {
  const paths = new Map<string, string>();
  const { fsGroup } = pod.security;
  const group = fsGroup === undefined ? undefined : Number(fsGroup);
  for (const [name, volume] of pod.volumes) {
    if (volume.kind === "hostPath") {
      paths.set(name, volume.path);
      continue;
    }
    const path = `${directory}/${name}`;
    paths.set(name, path);
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    await Deno.mkdir(path, { mode: 0o700 });
    if (volume.kind === "files") {
      await writeFiles(path, volume.files, { facts, group });
    } else {
      if (group !== undefined) await Deno.chown(path, null, group);
      // Any user of any container may write, as in Kubernetes; the folders above let only root in.
      await Deno.chmod(path, group === undefined ? 0o777 : 0o2777);
    }
  }
  return paths;
}

/**
 * Files in the kubelet's layout: one link leads to a folder with all of them, so that they appear at
 * once or not at all, and programs that watch the link find it.
 */
async function writeFiles(
  path: string,
  files: readonly VolumeFile[],
  { facts, group }: { readonly facts: PodFacts; readonly group: number | undefined },
): Promise<void> {
  const version = `..${new Date().toISOString().replaceAll(/[^0-9]/g, "_")}`;
  const encoder = new TextEncoder();
  for (const { path: name, mode, content } of files) {
    const folder = `${version}/${name}`.slice(0, `${version}/${name}`.lastIndexOf("/"));
    await makeFolders(path, folder, group);
    const target = `${path}/${version}/${name}`;
    const bytes = content instanceof Uint8Array
      ? content
      : encoder.encode(podFieldText(content, facts));
    await Deno.writeFile(target, bytes, { mode: 0o600, createNew: true });
    if (group !== undefined) await Deno.chown(target, null, group);
    // The group of the pod may read its secrets, whoever else may not.
    await Deno.chmod(target, group === undefined ? mode : mode | 0o440);
  }
  await makeFolders(path, version, group);
  await Deno.symlink(version, `${path}/${DATA_LINK}`);
  const tops = new Set(files.map(({ path: name }) => name.split("/")[0]!));
  for (const top of tops) await Deno.symlink(`${DATA_LINK}/${top}`, `${path}/${top}`);
  await Deno.chmod(path, 0o755);
}

async function makeFolders(root: string, below: string, group: number | undefined): Promise<void> {
  let path = root;
  for (const part of below.split("/")) {
    path += `/${part}`;
    try {
      await Deno.mkdir(path, { mode: 0o700 });
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) continue;
      throw error;
    }
    if (group !== undefined) await Deno.chown(path, null, group);
    await Deno.chmod(path, 0o755);
  }
}

async function prepareHostPath(path: string, type: HostPathType): Promise<void> {
  const info = await Deno.stat(path).catch((error: unknown) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  const demand = (fits: boolean | null | undefined, what: string): void => {
    if (fits === true) return;
    throw new FailedPreconditionError(
      `The hostPath ${shown(path)} is ${info === undefined ? "not there" : `no ${what}`}`,
      { path },
    );
  };
  switch (type) {
    case "":
      return;
    case "DirectoryOrCreate":
      if (info === undefined) await Deno.mkdir(path, { recursive: true, mode: 0o755 });
      else demand(info.isDirectory, "directory");
      return;
    case "FileOrCreate":
      if (info === undefined) await Deno.writeTextFile(path, "", { mode: 0o644, createNew: true });
      else demand(info.isFile, "file");
      return;
    case "Directory":
      return demand(info?.isDirectory, "directory");
    case "File":
      return demand(info?.isFile, "file");
    case "Socket":
      return demand(info?.isSocket, "socket");
    case "CharDevice":
      return demand(info?.isCharDevice, "character device");
    case "BlockDevice":
      return demand(info?.isBlockDevice, "block device");
    default:
      return type satisfies never;
  }
}
