/**
 * A manifest file: its pods, with the ConfigMaps and Secrets that they take their data from.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { nearest } from "../errors/nearest.ts";
import { ConfigObjects, readConfigObject, RECORDED } from "./config_objects.ts";
import { labelName, objectName } from "./manifest_fields.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import { manifestDocuments } from "./manifest_source.ts";
import { type PodManifest, readPod } from "./pod_manifest.ts";

export interface Manifest {
  readonly pods: readonly PodManifest[];
  /** What of the file is not used, beside the notes of each pod. */
  readonly notes: readonly string[];
}

export interface ManifestFile {
  readonly text: string;
  /** Named in messages; undefined for standard input. */
  readonly name?: string;
}

/** Objects that concern a cluster and change nothing on a node. */
const CLUSTER_ONLY = [
  "Namespace",
  "Service",
  "ServiceAccount",
  "Ingress",
  "NetworkPolicy",
  "PodDisruptionBudget",
  "HorizontalPodAutoscaler",
  "Role",
  "RoleBinding",
  "ClusterRole",
  "ClusterRoleBinding",
  "LimitRange",
  "ResourceQuota",
  "PriorityClass",
  "StorageClass",
];

/** Controllers, of whose pods one is run. */
const CONTROLLERS = ["Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "Job"] as const;
const KINDS = ["Pod", "ConfigMap", "Secret", "List", ...CONTROLLERS, ...CLUSTER_ONLY];

/**
 * @param configFiles more files, of which ConfigMaps and Secrets are used
 * @throws {InvalidArgumentError} a text is no YAML, or says something that is not supported; names
 *   the path of the field and its line
 */
export function parseManifest(
  file: ManifestFile,
  configFiles: readonly ManifestFile[] = [],
): Manifest {
  const objects = new ConfigObjects();
  for (const { text, name } of configFiles) {
    for (const node of manifestDocuments(text, name).flatMap(listed)) {
      const kind = kindOf(node);
      if (kind === "ConfigMap" || kind === "Secret") addObject(objects, node, kind);
      else node.refuse(`must be a ConfigMap or a Secret here, not ${shown(kind)}`);
    }
  }
  const nodes = manifestDocuments(file.text, file.name).flatMap(listed);
  const notes: string[] = [];
  const rest: [ManifestNode, string][] = [];
  // A pod may stand before what it refers to.
  for (const node of nodes) {
    const kind = kindOf(node);
    if (kind === "ConfigMap" || kind === "Secret") addObject(objects, node, kind);
    else rest.push([node, kind]);
  }
  const pods = rest.flatMap(([node, kind]) => {
    if (kind === "Pod") return [podOf(node, objects)];
    const controller = CONTROLLERS.find((name) => name === kind);
    if (controller !== undefined) return [podOfController(node, controller, objects)];
    notes.push(`the ${kind} is not used here: it means something to a cluster only`);
    return [];
  });
  const names = pods.map(({ namespace, name }) => `${namespace}/${name}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new InvalidArgumentError(`The manifest has the pod ${twice} twice`);
  }
  return { pods, notes };
}

/** The items of a `List`, as `kubectl get -o yaml` writes them, or the object itself. */
function listed(node: ManifestNode): ManifestNode[] {
  if (kindOf(node) !== "List") return [node];
  return node.fields(["items"], { ignored: ["apiVersion", "kind", "metadata"] }).items.list();
}

function kindOf(node: ManifestNode): string {
  const kind = node.child("kind");
  const text = kind.text();
  if (KINDS.includes(text)) return text;
  const near = nearest(text, KINDS);
  return kind.refuse(
    `${shown(text)} cannot be played${near === undefined ? "" : `, perhaps ${near} is meant`}`,
    `play runs pods: give Pod, ${CONTROLLERS.join(", ")}, ConfigMap or Secret`,
  );
}

function addObject(objects: ConfigObjects, node: ManifestNode, kind: "ConfigMap" | "Secret"): void {
  checkVersion(node, "v1");
  const object = readConfigObject(node, kind);
  if (!objects.add(object)) node.refuse(`is the second ${kind} ${object.namespace}/${object.name}`);
}

function checkVersion(node: ManifestNode, version: string): void {
  const apiVersion = node.child("apiVersion");
  if (apiVersion.text() !== version) apiVersion.refuse(`must be ${version}`);
}

function podOf(node: ManifestNode, objects: ConfigObjects): PodManifest {
  checkVersion(node, "v1");
  const { metadata, spec } = node.fields(["metadata", "spec"], {
    ignored: ["apiVersion", "kind", "status"],
  });
  return readPod({ metadata, spec }, objects);
}

/** One pod of the template, named for its object as podman names it. */
function podOfController(
  node: ManifestNode,
  kind: typeof CONTROLLERS[number],
  objects: ConfigObjects,
): PodManifest {
  checkVersion(node, kind === "Job" ? "batch/v1" : "apps/v1");
  const { metadata, spec } = node.fields(["metadata", "spec"], {
    ignored: ["apiVersion", "kind", "status"],
  });
  const { name, namespace } = metadata.fields(["name", "namespace"], {
    ignored: ["labels", "annotations", ...RECORDED],
  });
  const { template, replicas, volumeClaimTemplates } = spec.fields(
    ["template", "replicas", "volumeClaimTemplates"],
    { ignored: CONTROLLER_FIELDS },
  );
  if (volumeClaimTemplates.present) volumeClaimTemplates.refuse("is not supported", "use emptyDir");
  const parts = template.fields(["metadata", "spec"]);
  const pod = readPod({
    ...parts,
    identity: {
      name: `${objectName(name)}-pod`,
      namespace: namespace.present ? labelName(namespace) : "default",
    },
  }, objects);
  const wanted = replicas.integer(1n);
  return {
    ...pod,
    notes: [
      ...pod.notes,
      ...(wanted > 1n ? [`one pod of the ${kind} is run, not ${wanted}`] : []),
    ],
  };
}

/** How a controller keeps its pods: nobody does here. */
const CONTROLLER_FIELDS = [
  "selector",
  "strategy",
  "updateStrategy",
  "minReadySeconds",
  "revisionHistoryLimit",
  "progressDeadlineSeconds",
  "paused",
  "serviceName",
  "podManagementPolicy",
  "ordinals",
  "persistentVolumeClaimRetentionPolicy",
  "backoffLimit",
  "backoffLimitPerIndex",
  "completions",
  "completionMode",
  "parallelism",
  "activeDeadlineSeconds",
  "ttlSecondsAfterFinished",
  "suspend",
  "manualSelector",
  "podFailurePolicy",
  "podReplacementPolicy",
  "successPolicy",
  "managedBy",
  "maxFailedIndexes",
];
