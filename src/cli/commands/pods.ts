import { type PodSandbox, PodSandboxState } from "../../proto/mod.ts";
import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { FILTER_OPTION, filterOf, type FilterTable, hasLabel } from "../list_filter.ts";
import { age, printList, shortId } from "../table.ts";

const FILTERS: FilterTable<PodSandbox> = {
  id: ({ id }, value) => id.startsWith(value),
  name: ({ metadata }, value) => (metadata?.name ?? "").includes(value),
  namespace: ({ metadata }, value) => metadata?.namespace === value,
  label: ({ labels }, value) => hasLabel(labels, value),
  status: hasState,
  state: hasState,
};

function stateOf({ state }: PodSandbox): string {
  return state === PodSandboxState.SANDBOX_READY ? "Ready" : "NotReady";
}

function hasState(pod: PodSandbox, value: string): boolean {
  return stateOf(pod).toLowerCase() === value.toLowerCase();
}

/** `sauropod pods` */
export const pods: Command = {
  name: "pods",
  usage: "[OPTIONS]",
  summary: "list pods",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    quiet: { type: "boolean", short: "q", summary: "only ids" },
    ...FILTER_OPTION,
    "no-trunc": { type: "boolean", summary: "whole ids" },
    namespace: { type: "string", short: "n", value: "NAME", summary: "only of this namespace" },
    ready: { type: "boolean", summary: "only pods that are ready" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const namespace = invocation.text("namespace");
    const fits = filterOf(FILTERS, invocation.texts("filter"));
    const idText = invocation.flag("no-trunc") ? (id: string) => id : shortId;
    const { items } = await client.runtime.listPodSandbox({});
    const found = items.filter((pod) =>
      (namespace === undefined || pod.metadata?.namespace === namespace) &&
      (!invocation.flag("ready") || pod.state === PodSandboxState.SANDBOX_READY) && fits(pod)
    );
    if (invocation.flag("quiet")) {
      context.terminal.out(found.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    printList(context, invocation, {
      header: ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"],
      rows: found.map((pod) => [
        idText(pod.id),
        age(pod.createdAt),
        stateOf(pod),
        pod.metadata?.name ?? "",
        pod.metadata?.namespace ?? "",
        String(pod.metadata?.attempt ?? 0),
        pod.runtimeHandler || "(default)",
      ]),
      value: { items: found },
      colours: { Ready: "green", NotReady: "yellow" },
    });
    return 0;
  },
};
