/**
 * CRI messages as JSON or YAML for programs, by the protobuf JSON mapping: 64-bit integers as text, bytes as
 * base64, enumerations by their names.
 *
 * @see https://protobuf.dev/programming-guides/json/
 * @module
 */
import { stringify } from "yaml";
import {
  CgroupDriver,
  ContainerState,
  MountPropagation,
  NamespaceMode,
  PodSandboxState,
  Protocol,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
} from "../proto/mod.ts";

/** @returns YAML text of the same values, which ends in a newline */
export function yaml(value: unknown): string {
  return stringify(JSON.parse(json(value)), { lineWidth: 0, aliasDuplicateObjects: false });
}

type EnumNames = Readonly<Record<number, string>>;

/** By the name of the field, which the generated code does not tell at run time. */
const ENUMS: ReadonlyMap<string, EnumNames> = new Map<string, EnumNames>([
  ["protocol", Protocol],
  ["propagation", MountPropagation],
  ["profileType", SecurityProfile_ProfileType],
  ["stopSignal", Signal],
  ["supplementalGroupsPolicy", SupplementalGroupsPolicy],
  ["cgroupDriver", CgroupDriver],
]);

/** @returns JSON text that ends in a newline */
export function json(value: unknown): string {
  return `${JSON.stringify(value, mapped, 2)}\n`;
}

function mapped(this: unknown, key: string, item: unknown): unknown {
  if (typeof item === "bigint") return item.toString();
  if (item instanceof Uint8Array) return item.toBase64();
  if (typeof item !== "number") return item;
  return namesOf(key, this)?.[item] ?? item;
}

function namesOf(key: string, holder: unknown): EnumNames | undefined {
  const has = (field: string) => typeof holder === "object" && holder !== null && field in holder;
  switch (key) {
    case "state":
      // In a list nothing says of what kind an entry is, but only containers have images.
      return has("imageRef") ? ContainerState : PodSandboxState;
    case "network":
    case "pid":
    case "ipc":
      return has("targetId") ? NamespaceMode : undefined;
    default:
      return ENUMS.get(key);
  }
}
