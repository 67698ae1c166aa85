/**
 * ConfigMaps and Secrets of a manifest: the data that pods of the same file take their variables and
 * files from.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
 * @module
 */
import { shown } from "../errors/mod.ts";
import { labelName, objectName } from "./manifest_fields.ts";
import type { ManifestNode } from "./manifest_reader.ts";

export type ConfigKind = "ConfigMap" | "Secret";

export interface ConfigObject {
  readonly kind: ConfigKind;
  readonly namespace: string;
  readonly name: string;
  /** By key, in the manifest's order. */
  readonly data: ReadonlyMap<string, Uint8Array>;
  /** Keys of `binaryData`, which become files but never variables. */
  readonly binary: ReadonlySet<string>;
}

/** The limit of Kubernetes for all values of an object. */
const DATA_LIMIT_BYTES = 1 << 20;

/** What etcd records about an object, and a single node has no use for. */
export const RECORDED = [
  "uid",
  "creationTimestamp",
  "resourceVersion",
  "generation",
  "generateName",
  "managedFields",
  "selfLink",
  "ownerReferences",
  "finalizers",
];

/** @throws {InvalidArgumentError} a key is no file name, a value no text or not in base64 */
export function readConfigObject(node: ManifestNode, kind: ConfigKind): ConfigObject {
  const { metadata, values, binary } = kind === "ConfigMap"
    ? configMapParts(node)
    : secretParts(node);
  const { name, namespace } = metadata.fields(["name", "namespace"], {
    ignored: ["labels", "annotations", ...RECORDED],
  });
  const data = new Map<string, Uint8Array>();
  let total = 0;
  for (const { key, value, bytes } of values) {
    checkKey(key, value);
    total += bytes.length;
    if (total > DATA_LIMIT_BYTES) value.refuse(`brings the data over ${DATA_LIMIT_BYTES} bytes`);
    data.set(key, bytes);
  }
  return {
    kind,
    name: objectName(name),
    namespace: namespace.present ? labelName(namespace) : "default",
    data,
    binary,
  };
}

interface Parts {
  readonly metadata: ManifestNode;
  readonly values: Iterable<{ key: string; value: ManifestNode; bytes: Uint8Array }>;
  readonly binary: ReadonlySet<string>;
}

function configMapParts(node: ManifestNode): Parts {
  const { metadata, data, binaryData } = node.fields(
    ["metadata", "data", "binaryData"],
    { ignored: ["apiVersion", "kind", "immutable"] },
  );
  const texts = new Set(data.entries().map(([key]) => key));
  for (const [key, value] of binaryData.entries()) {
    if (texts.has(key)) value.refuse("is in data, too");
  }
  return {
    metadata,
    values: [...read(data, textBytes), ...read(binaryData, base64Bytes)],
    binary: new Set(binaryData.entries().map(([key]) => key)),
  };
}

function secretParts(node: ManifestNode): Parts {
  const { metadata, data, stringData } = node.fields(
    ["metadata", "data", "stringData"],
    { ignored: ["apiVersion", "kind", "immutable", "type"] },
  );
  // What stringData has replaces what data has of the same key.
  return {
    metadata,
    values: [...read(data, base64Bytes), ...read(stringData, textBytes)],
    binary: new Set(),
  };
}

function read(node: ManifestNode, bytesOf: (value: ManifestNode) => Uint8Array) {
  return node.entries().map(([key, value]) => ({ key, value, bytes: bytesOf(value) }));
}

/** Keys become file names and names of variables. */
function checkKey(key: string, node: ManifestNode): void {
  if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === "." || key.startsWith("..")) {
    node.refuse(`has a key that is no file name: ${shown(key)}`, "use letters, digits, - _ and .");
  }
}

const encoder = new TextEncoder();

function textBytes(node: ManifestNode): Uint8Array {
  return encoder.encode(node.text());
}

function base64Bytes(node: ManifestNode): Uint8Array {
  const text = node.text().replaceAll(/[\r\n]/g, "");
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    // The value may be a secret: it is no part of the message.
    return node.refuse("is not base64", "encode it, or write it as stringData in a Secret");
  }
}

/** Finds objects by kind, namespace and name. */
export class ConfigObjects {
  readonly #objects = new Map<string, ConfigObject>();

  /** @returns false if there is one of that kind and name already */
  add(object: ConfigObject): boolean {
    const key = keyOf(object);
    if (this.#objects.has(key)) return false;
    this.#objects.set(key, object);
    return true;
  }

  /**
   * What a field refers to.
   *
   * @throws {InvalidArgumentError} there is none, and it is not optional
   */
  find(
    kind: ConfigKind,
    namespace: string,
    { name, optional }: { readonly name: ManifestNode; readonly optional: boolean },
  ): ConfigObject | undefined {
    const object = this.#objects.get(keyOf({ kind, namespace, name: name.text() }));
    if (object === undefined && !optional) {
      name.refuse(
        `names the ${kind} ${shown(name.text())}, which is not here in the namespace ${namespace}`,
        `write the ${kind} into the same file, or give its file with --configmap`,
      );
    }
    return object;
  }
}

function keyOf({ kind, namespace, name }: Omit<ConfigObject, "data" | "binary">): string {
  return `${kind}/${namespace}/${name}`;
}
