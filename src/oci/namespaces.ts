/** The namespaces a container joins or gets. @module */
import type { SpecNamespace } from "./runtime_spec.ts";
import type { NamespaceChoice, SpecNamespaces } from "./spec_inputs.ts";

export interface NamespaceInputs {
  readonly namespaces: SpecNamespaces;
  readonly cgroupVersion: 1 | 2;
  readonly privileged: boolean;
}

/** A namespace that is left out is the runtime's own, which is the host's. */
export function buildNamespaces(
  { namespaces: { net, ipc, uts, pid }, cgroupVersion, privileged }: NamespaceInputs,
): SpecNamespace[] {
  return [
    ...(pid.kind === "container" ? [{ type: "pid" } as const] : joined("pid", pid)),
    ...joined("network", net),
    ...joined("ipc", ipc),
    ...joined("uts", uts),
    { type: "mount" },
    // Version 1 has no view that a namespace could cut to the container's own group.
    ...(cgroupVersion === 2 && !privileged ? [{ type: "cgroup" } as const] : []),
  ];
}

function joined(type: SpecNamespace["type"], choice: NamespaceChoice): SpecNamespace[] {
  return choice.kind === "host" ? [] : [{ type, path: choice.path }];
}
