/**
 * The downward API: fields of a pod as values of variables and as files.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
 * @module
 */
import { shown } from "../errors/mod.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import { parseQuantity } from "../model/mod.ts";
import type { ResourceManifest } from "./resource_manifest.ts";

/** Something known of the pod, some of it only once it runs. */
export type PodField =
  | { readonly kind: "uid" | "name" | "namespace" | "nodeName" | "serviceAccountName" }
  | { readonly kind: "podIP" | "podIPs" }
  /** Of one key, or all of them as a file has them. */
  | { readonly kind: "labels" | "annotations"; readonly key: string | undefined }
  | {
    readonly kind: "resource";
    readonly resource: keyof ResourceManifest;
    readonly divisor: Divisor;
  };

/** What a resource is divided by: millicores or bytes. */
type Divisor = bigint;

/** What the fields of a pod are taken from. */
export interface PodFacts {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly nodeName: string;
  readonly serviceAccountName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Primary address first; empty before the pod has one. */
  readonly ips: readonly string[];
  /** What a container without a limit may use: millicores and bytes. */
  readonly node: { readonly cpu: bigint; readonly memory: bigint };
}

const SIMPLE = {
  "metadata.name": "name",
  "metadata.namespace": "namespace",
  "metadata.uid": "uid",
  "spec.nodeName": "nodeName",
  "spec.serviceAccountName": "serviceAccountName",
  "status.podIP": "podIP",
  "status.podIPs": "podIPs",
} as const;

/** Reads `fieldRef`. A file may have all labels; a variable only one. */
export function readFieldRef(node: ManifestNode, use: "variable" | "file"): PodField {
  const { fieldPath } = node.fields(["fieldPath"], { ignored: ["apiVersion"] });
  const path = fieldPath.text();
  if (Object.hasOwn(SIMPLE, path)) return { kind: SIMPLE[path as keyof typeof SIMPLE] };
  const match = /^metadata\.(labels|annotations)(?:\['([^']+)'\])?$/.exec(path);
  const [, kind, key] = match ?? [];
  if ((kind === "labels" || kind === "annotations") && (key !== undefined || use === "file")) {
    return { kind, key };
  }
  return fieldPath.refuse(
    `${shown(path)} is not supported`,
    `give ${Object.keys(SIMPLE).join(", ")}, metadata.labels['KEY'] or metadata.annotations['KEY']`,
  );
}

const RESOURCES = {
  "limits.cpu": "cpuLimit",
  "limits.memory": "memoryLimit",
  "requests.cpu": "cpuRequest",
  "requests.memory": "memoryRequest",
} as const;

/** Reads `resourceFieldRef` of the container's own resources. */
export function readResourceRef(node: ManifestNode): PodField {
  const { resource, divisor } = node.fields(["resource", "divisor"], {
    unsupported: ["containerName"],
  });
  const name = resource.word(Object.keys(RESOURCES) as (keyof typeof RESOURCES)[], "limits.cpu");
  const scale = name.endsWith(".cpu") ? 1000n : 1n;
  const text = divisor.present ? String(divisor.value) : "1";
  const by = parseQuantity(text === "0" ? "1" : text, scale);
  return by === undefined || by === 0n
    ? divisor.refuse(`${shown(text)} is no quantity to divide by`)
    : { kind: "resource", resource: RESOURCES[name], divisor: by };
}

/** The field's text. */
export function podFieldText(
  field: PodField,
  facts: PodFacts,
  resources?: ResourceManifest,
): string {
  switch (field.kind) {
    case "podIP":
      return facts.ips[0] ?? "";
    case "podIPs":
      return facts.ips.join(",");
    case "labels":
    case "annotations": {
      const values = facts[field.kind];
      if (field.key !== undefined) {
        return Object.hasOwn(values, field.key) ? values[field.key]! : "";
      }
      return Object.entries(values).sort(([left], [right]) => left < right ? -1 : 1)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`).join("\n");
    }
    case "resource": {
      const whole = field.resource.startsWith("cpu") ? facts.node.cpu : facts.node.memory;
      const value = resources?.[field.resource] ?? whole;
      return String((value + field.divisor - 1n) / field.divisor);
    }
    default:
      return facts[field.kind];
  }
}
