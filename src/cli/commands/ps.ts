import { type Container, ContainerState } from "../../proto/mod.ts";
import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { FILTER_OPTION, filterOf, type FilterTable, hasLabel } from "../list_filter.ts";
import { findPod } from "../lookup.ts";
import { age, printList, shortId } from "../table.ts";

const STATES: Readonly<Record<number, string>> = {
  [ContainerState.CONTAINER_CREATED]: "Created",
  [ContainerState.CONTAINER_RUNNING]: "Running",
  [ContainerState.CONTAINER_EXITED]: "Exited",
  [ContainerState.CONTAINER_UNKNOWN]: "Unknown",
};

const FILTERS: FilterTable<Container> = {
  id: ({ id }, value) => id.startsWith(value),
  name: ({ metadata }, value) => (metadata?.name ?? "").includes(value),
  label: ({ labels }, value) => hasLabel(labels, value),
  status: hasState,
  state: hasState,
  pod: ({ labels, podSandboxId }, value) =>
    labels["io.kubernetes.pod.name"] === value || podSandboxId.startsWith(value),
  namespace: ({ labels }, value) => labels["io.kubernetes.pod.namespace"] === value,
  image: isOfImage,
  ancestor: isOfImage,
};

function hasState({ state }: Container, value: string): boolean {
  return STATES[state]?.toLowerCase() === value.toLowerCase();
}

function isOfImage({ image, imageId }: Container, value: string): boolean {
  return imageId.replace(/^sha256:/, "").startsWith(value.replace(/^sha256:/, "")) ||
    (image?.userSpecifiedImage || image?.image || "").includes(value);
}

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
    ...FILTER_OPTION,
    latest: { type: "boolean", short: "l", summary: "only the one that was made last" },
    "no-trunc": { type: "boolean", summary: "whole ids" },
    pod: { type: "string", short: "p", value: "POD", summary: "only of this pod" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const podQuery = invocation.text("pod");
    const pod = podQuery === undefined ? undefined : await findPod(client, podQuery);
    const { containers } = await client.runtime.listContainers({});
    const filters = invocation.texts("filter");
    const fits = filterOf(FILTERS, filters);
    const latest = invocation.flag("latest");
    // Who asks for a state or for the last one means those that have ended, too.
    const all = invocation.flag("all") || latest ||
      filters.some((text) => /^(status|state)=/.test(text));
    const listed = containers.filter((container) =>
      (pod === undefined || container.podSandboxId === pod.id) &&
      (all || container.state === ContainerState.CONTAINER_RUNNING) && fits(container)
    );
    const found = latest
      ? listed.sort((left, right) => left.createdAt < right.createdAt ? 1 : -1).slice(0, 1)
      : listed;
    const idText = invocation.flag("no-trunc") ? (id: string) => id : shortId;
    if (invocation.flag("quiet")) {
      context.terminal.out(found.map(({ id }) => `${id}\n`).join(""));
      return 0;
    }
    printList(context, invocation, {
      header: ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD"],
      rows: found.map((container) => [
        idText(container.id),
        imageName(container.image?.userSpecifiedImage || container.image?.image || ""),
        age(container.createdAt),
        STATES[container.state] ?? String(container.state),
        container.metadata?.name ?? "",
        String(container.metadata?.attempt ?? 0),
        idText(container.podSandboxId),
        container.labels["io.kubernetes.pod.name"] ?? "",
      ]),
      value: { containers: found },
      colours: { Running: "green", Unknown: "red" },
    });
    return 0;
  },
};

function imageName(image: string): string {
  return /^(sha256:)?[0-9a-f]{64}$/.test(image) ? shortId(image) : image;
}
