/** The namespaces a container joins or gets. @module */
import type { SpecNamespace } from "./runtime_spec.ts";
import type { NamespaceChoice, SpecInputs } from "./spec_inputs.ts";

/** A namespace that is left out is the runtime's own, which is the host's. */
export function buildNamespaces(inputs: SpecInputs): SpecNamespace[] {
  const { net, ipc, uts, pid } = inputs.namespaces;
  const privileged = inputs.container.linux?.securityContext?.privileged ?? false;
  return [
    ...(pid.kind === "container" ? [{ type: "pid" } as const] : joined("pid", pid)),
    ...joined("network", net),
    ...joined("ipc", ipc),
    ...joined("uts", uts),
    { type: "mount" },
    // Version 1 has no view that a namespace could cut to the container's own group.
    ...(inputs.node.cgroupVersion === 2 && !privileged ? [{ type: "cgroup" } as const] : []),
  ];
}

function joined(type: SpecNamespace["type"], choice: NamespaceChoice): SpecNamespace[] {
  return choice.kind === "host" ? [] : [{ type, path: choice.path }];
}
