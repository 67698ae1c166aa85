/**
 * The variables of a container: literal ones, those from ConfigMaps and Secrets, and fields of the
 * pod.
 *
 * @module
 */
import { shown } from "../errors/mod.ts";
import type { ConfigKind, ConfigObject, ConfigObjects } from "./config_objects.ts";
import { expand } from "./expansion.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import {
  type PodFacts,
  type PodField,
  podFieldText,
  readFieldRef,
  readResourceRef,
} from "./pod_fields.ts";
import type { ResourceManifest } from "./resource_manifest.ts";

/** A variable before it is known what the pod is. */
export interface VariableManifest {
  readonly name: string;
  readonly value:
    /** `$(NAME)` in it means the variables before. */
    | { readonly kind: "expanded"; readonly text: string }
    | { readonly kind: "literal"; readonly text: string }
    | { readonly kind: "field"; readonly field: PodField };
}

export interface ConfigScope {
  readonly objects: ConfigObjects;
  readonly namespace: string;
}

/** Reads `envFrom` and `env`, which comes after it and replaces. */
export function readVariables(
  fields: { readonly env: ManifestNode; readonly envFrom: ManifestNode },
  scope: ConfigScope,
): VariableManifest[] {
  return [
    ...fields.envFrom.list().flatMap((item) => wholeObject(item, scope)),
    ...fields.env.list().flatMap((item) => variable(item, scope)),
  ];
}

const NAME = /^[^=\0]+$/;

function wholeObject(node: ManifestNode, scope: ConfigScope): VariableManifest[] {
  const { prefix, configMapRef, secretRef } = node.fields(["prefix", "configMapRef", "secretRef"]);
  if (configMapRef.present === secretRef.present) {
    node.refuse("must have one of configMapRef and secretRef");
  }
  const [kind, ref] = configMapRef.present
    ? ["ConfigMap", configMapRef] as const
    : ["Secret", secretRef] as const;
  const object = referred(ref, kind, scope);
  const before = prefix.text("");
  if (before !== "" && !NAME.test(before)) prefix.refuse(`${shown(before)} begins no variable`);
  return [...object?.data ?? []].filter(([key]) => object?.binary.has(key) !== true)
    .map(([key, bytes]) => ({
      name: before + key,
      value: { kind: "literal", text: textOf(bytes, key, ref) },
    }));
}

function referred(
  node: ManifestNode,
  kind: ConfigKind,
  { objects, namespace }: ConfigScope,
): ConfigObject | undefined {
  const { name, optional } = node.fields(["name", "optional"]);
  return objects.find(kind, namespace, { name, optional: optional.boolean(false) });
}

function variable(node: ManifestNode, scope: ConfigScope): VariableManifest[] {
  const { name, value, valueFrom } = node.fields(["name", "value", "valueFrom"]);
  const text = name.text();
  if (!NAME.test(text)) name.refuse(`${shown(text)} is no name of a variable`);
  if (!valueFrom.present) {
    return [{ name: text, value: { kind: "expanded", text: value.text("") } }];
  }
  if (value.present) node.refuse("has value and valueFrom");
  const found = valueOf(valueFrom, scope);
  return found === undefined ? [] : [{ name: text, value: found }];
}

/** @returns undefined for an optional key that is not there: the variable is left out */
function valueOf(node: ManifestNode, scope: ConfigScope): VariableManifest["value"] | undefined {
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = node.fields(
    ["configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef"],
    { unsupported: ["fileKeyRef"] },
  );
  const given = [configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef]
    .filter(({ present }) => present);
  if (given.length !== 1) {
    node.refuse("must have one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef");
  }
  if (fieldRef.present) return { kind: "field", field: readFieldRef(fieldRef, "variable") };
  if (resourceFieldRef.present) return { kind: "field", field: readResourceRef(resourceFieldRef) };
  const [kind, ref] = configMapKeyRef.present
    ? ["ConfigMap", configMapKeyRef] as const
    : ["Secret", secretKeyRef] as const;
  const { name, key, optional: optionalNode } = ref.fields(["name", "key", "optional"]);
  const optional = optionalNode.boolean(false);
  const object = scope.objects.find(kind, scope.namespace, { name, optional });
  const bytes = object?.binary.has(key.text()) === true ? undefined : object?.data.get(key.text());
  if (bytes !== undefined) return { kind: "literal", text: textOf(bytes, key.text(), key) };
  if (optional) return undefined;
  return key.refuse(`${shown(key.text())} is no key of the ${kind} ${name.text()}`);
}

function textOf(bytes: Uint8Array, key: string, node: ManifestNode): string {
  let text: string | undefined;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Told below.
  }
  return text === undefined || text.includes("\0")
    ? node.refuse(
      `cannot be a variable: the value of ${shown(key)} is no text`,
      "mount it as a file",
    )
    : text;
}

/** The variables as the program sees them; of two of one name the later counts. */
export function environmentOf(
  variables: readonly VariableManifest[],
  facts: PodFacts,
  resources: ResourceManifest,
): ReadonlyMap<string, string> {
  const environment = new Map<string, string>();
  for (const { name, value } of variables) {
    environment.set(
      name,
      value.kind === "field"
        ? podFieldText(value.field, facts, resources)
        : value.kind === "literal"
        ? value.text
        : expand(value.text, environment),
    );
  }
  return environment;
}
