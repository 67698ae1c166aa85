import { ContainerState } from "../../proto/mod.ts";
import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { findPod } from "../lookup.ts";
import { age, printList, shortId } from "../table.ts";

const STATES: Readonly<Record<number, string>> = {
  [ContainerState.CONTAINER_CREATED]: "Created",
  [ContainerState.CONTAINER_RUNNING]: "Running",
  [ContainerState.CONTAINER_EXITED]: "Exited",
  [ContainerState.CONTAINER_UNKNOWN]: "Unknown",
};

/** `sauropod ps` */
export const ps: Command = {
  name: "ps",
  usage: "[OPTIONS]",
  summary: "list containers that run",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    all: { type: "boolean", short: "a", summary: "those that do not run too" },
    quiet: { type: "boolean", short: "q", summary: "only ids" },
    pod: { type: "string", short: "p", value: "POD", summary: "only of this pod" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const podQuery = invocation.text("pod");
    const pod = podQuery === undefined ? undefined : await findPod(client, podQuery);
    const { containers } = await client.runtime.listContainers({});
    const found = containers.filter((container) =>
      (pod === undefined || container.podSandboxId === pod.id) &&
      (invocation.flag("all") || container.state === ContainerState.CONTAINER_RUNNING)
    );
    if (invocation.flag("quiet")) {
      context.terminal.out(found.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    printList(context, invocation, {
      header: ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD"],
      rows: found.map((container) => [
        shortId(container.id),
        imageName(container.image?.userSpecifiedImage || container.image?.image || ""),
        age(container.createdAt),
        STATES[container.state] ?? String(container.state),
        container.metadata?.name ?? "",
        String(container.metadata?.attempt ?? 0),
        shortId(container.podSandboxId),
        container.labels["io.kubernetes.pod.name"] ?? "",
      ]),
      value: { containers: found },
    });
    return 0;
  },
};

function imageName(image: string): string {
  return /^(sha256:)?[0-9a-f]{64}$/.test(image) ? shortId(image) : image;
}
