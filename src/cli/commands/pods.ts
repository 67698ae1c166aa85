import { PodSandboxState } from "../../proto/mod.ts";
import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { age, printList, shortId } from "../table.ts";

/** `sauropod pods` */
export const pods: Command = {
  name: "pods",
  usage: "[OPTIONS]",
  summary: "list pods",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    quiet: { type: "boolean", short: "q", summary: "only ids" },
    namespace: { type: "string", short: "n", value: "NAME", summary: "only of this namespace" },
    ready: { type: "boolean", summary: "only pods that are ready" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const namespace = invocation.text("namespace");
    const { items } = await client.runtime.listPodSandbox({});
    const found = items.filter((pod) =>
      (namespace === undefined || pod.metadata?.namespace === namespace) &&
      (!invocation.flag("ready") || pod.state === PodSandboxState.SANDBOX_READY)
    );
    if (invocation.flag("quiet")) {
      context.terminal.out(found.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    printList(context, invocation, {
      header: ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"],
      rows: found.map((pod) => [
        shortId(pod.id),
        age(pod.createdAt),
        pod.state === PodSandboxState.SANDBOX_READY ? "Ready" : "NotReady",
        pod.metadata?.name ?? "",
        pod.metadata?.namespace ?? "",
        String(pod.metadata?.attempt ?? 0),
        pod.runtimeHandler || "(default)",
      ]),
      value: { items: found },
    });
    return 0;
  },
};
