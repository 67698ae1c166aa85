/**
 * The volumes of a pod, as its manifest says them.
 *
 * @see https://kubernetes.io/docs/concepts/storage/volumes/
 * @module
 */
import { shown } from "../errors/mod.ts";
import type { ConfigKind } from "./config_objects.ts";
import type { ConfigScope } from "./container_environment.ts";
import { absolutePath, fileMode, labelName, relativePath } from "./manifest_fields.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import { type PodField, readFieldRef } from "./pod_fields.ts";

export type Volume =
  | { readonly kind: "emptyDir" }
  | { readonly kind: "hostPath"; readonly path: string; readonly type: HostPathType }
  /** ConfigMaps, Secrets and fields of the pod as files; read-only in every container. */
  | { readonly kind: "files"; readonly files: readonly VolumeFile[] };

export interface VolumeFile {
  /** Below the volume, of names that do not begin with `..`. */
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array | PodField;
}

const HOST_PATH_TYPES = [
  "",
  "DirectoryOrCreate",
  "Directory",
  "FileOrCreate",
  "File",
  "Socket",
  "CharDevice",
  "BlockDevice",
] as const;
export type HostPathType = typeof HOST_PATH_TYPES[number];

const ELSEWHERE = "use emptyDir, hostPath, configMap, secret, downwardAPI or projected";

/** What needs a cluster, a driver or the network. */
const UNSUPPORTED = Object.fromEntries(
  [
    "persistentVolumeClaim",
    "ephemeral",
    "csi",
    "image",
    "nfs",
    "iscsi",
    "fc",
    "rbd",
    "cephfs",
    "glusterfs",
    "local",
    "gitRepo",
    "flexVolume",
    "azureFile",
    "azureDisk",
    "awsElasticBlockStore",
    "gcePersistentDisk",
    "vsphereVolume",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "quobyte",
    "cinder",
    "flocker",
    "photonPersistentDisk",
  ].map((name) => [name, ELSEWHERE]),
);

const KINDS = ["emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected"] as const;

export function readVolumes(
  node: ManifestNode,
  scope: ConfigScope,
  onIgnored: (path: string) => void,
): ReadonlyMap<string, Volume> {
  const volumes = new Map<string, Volume>();
  for (const item of node.list()) {
    const { name, ...sources } = item.fields(["name", ...KINDS], { unsupported: UNSUPPORTED });
    const volumeName = labelName(name);
    if (volumes.has(volumeName)) name.refuse(`${shown(volumeName)} is there twice`);
    // `emptyDir:` with nothing after it is one, too.
    const given = KINDS.filter((kind) => sources[kind].value !== undefined);
    const [kind] = given;
    if (kind === undefined || given.length > 1) {
      return item.refuse(`must have one of ${KINDS.join(", ")}`);
    }
    volumes.set(volumeName, readVolume(kind, sources[kind], scope, onIgnored));
  }
  return volumes;
}

const DEFAULT_MODE = 0o644;

function readVolume(
  kind: typeof KINDS[number],
  node: ManifestNode,
  scope: ConfigScope,
  onIgnored: (path: string) => void,
): Volume {
  switch (kind) {
    case "emptyDir": {
      const { medium } = node.fields(["medium"], { ignored: ["sizeLimit"], onIgnored });
      // Volumes lie in the run directory, which is in memory: it fits both.
      medium.word(["", "Memory"], "");
      return { kind };
    }
    case "hostPath": {
      const { path, type } = node.fields(["path", "type"]);
      return { kind, path: absolutePath(path), type: type.word(HOST_PATH_TYPES, "") };
    }
    case "configMap": {
      const { defaultMode, ...rest } = node.fields(["name", "items", "optional", "defaultMode"]);
      const mode = fileMode(defaultMode, DEFAULT_MODE);
      return filesVolume(node, objectFiles("ConfigMap", rest, mode, scope));
    }
    case "secret": {
      const { defaultMode, secretName, ...rest } = node.fields(
        ["secretName", "items", "optional", "defaultMode"],
      );
      const mode = fileMode(defaultMode, DEFAULT_MODE);
      return filesVolume(node, objectFiles("Secret", { name: secretName, ...rest }, mode, scope));
    }
    case "downwardAPI": {
      const { items, defaultMode } = node.fields(["items", "defaultMode"]);
      return filesVolume(node, fieldFiles(items, fileMode(defaultMode, DEFAULT_MODE)));
    }
    case "projected": {
      const { sources, defaultMode } = node.fields(["sources", "defaultMode"]);
      const mode = fileMode(defaultMode, DEFAULT_MODE);
      return filesVolume(node, sources.list().flatMap((source) => projection(source, mode, scope)));
    }
    default:
      return kind satisfies never;
  }
}

function projection(node: ManifestNode, mode: number, scope: ConfigScope): VolumeFile[] {
  const { configMap, secret, downwardAPI } = node.fields(["configMap", "secret", "downwardAPI"], {
    unsupported: {
      serviceAccountToken: "there is no API server that would give one",
      clusterTrustBundle: "there is no API server that would give one",
      podCertificate: "there is no API server that would give one",
    },
  });
  const names = ["name", "items", "optional"] as const;
  if (configMap.present) return objectFiles("ConfigMap", configMap.fields(names), mode, scope);
  if (secret.present) return objectFiles("Secret", secret.fields(names), mode, scope);
  if (downwardAPI.present) return fieldFiles(downwardAPI.fields(["items"]).items, mode);
  return node.refuse("must have one of configMap, secret, downwardAPI");
}

type ObjectFields = Readonly<Record<"name" | "items" | "optional", ManifestNode>>;

function objectFiles(
  kind: ConfigKind,
  { name, items, optional: optionalNode }: ObjectFields,
  mode: number,
  { objects, namespace }: ConfigScope,
): VolumeFile[] {
  const optional = optionalNode.boolean(false);
  const object = objects.find(kind, namespace, { name, optional });
  if (object === undefined) return [];
  if (!items.present) {
    return [...object.data].map(([path, content]) => ({ path, mode, content }));
  }
  return items.list().flatMap((item) => {
    const { key, path, mode: own } = item.fields(["key", "path", "mode"]);
    const content = object.data.get(key.text());
    if (content === undefined) {
      return optional
        ? []
        : key.refuse(`${shown(key.text())} is no key of the ${kind} ${object.name}`);
    }
    return [{ path: relativePath(path), mode: fileMode(own, mode), content }];
  });
}

function fieldFiles(items: ManifestNode, mode: number): VolumeFile[] {
  return items.list().map((item) => {
    const { path, fieldRef, mode: own } = item.fields(["path", "fieldRef", "mode"], {
      unsupported: { resourceFieldRef: "give it to the container as a variable" },
    });
    return {
      path: relativePath(path),
      mode: fileMode(own, mode),
      content: readFieldRef(fieldRef, "file"),
    };
  });
}

/** No file may be another one's folder, and none be there twice. */
function filesVolume(node: ManifestNode, files: readonly VolumeFile[]): Volume {
  const paths = new Set<string>();
  for (const { path } of files) {
    if (paths.has(path)) node.refuse(`has the file ${shown(path)} twice`);
    paths.add(path);
  }
  for (const path of paths) {
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
      if (paths.has(path.slice(0, at))) {
        node.refuse(`has ${shown(path.slice(0, at))} as a file and as a folder`);
      }
    }
  }
  return { kind: "files", files };
}
