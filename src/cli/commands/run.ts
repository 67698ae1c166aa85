import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import { CLIENT_OPTIONS, type Command, type Invocation } from "../command.ts";
import { tellNote } from "../failure.ts";
import { parseManifest } from "../manifest.ts";
import type { PodManifest } from "../pod_manifest.ts";
import { removePod } from "../pod_removal.ts";
import { startPod } from "../pod_start.ts";
import { attendPod } from "../pod_supervision.ts";
import { json } from "../json_output.ts";
import { shortId } from "../table.ts";

/** `sauropod run IMAGE [COMMAND...]` */
export const run: Command = {
  name: "run",
  usage: "[OPTIONS] IMAGE [COMMAND [ARGUMENT...]]",
  summary: "run one container in a pod of its own and pass its exit status on",
  options: {
    ...CLIENT_OPTIONS,
    name: { type: "string", value: "NAME", summary: "of pod and container (run-...)" },
    namespace: { type: "string", short: "n", value: "NAME", summary: "of the pod (default)" },
    env: {
      type: "string",
      short: "e",
      multiple: true,
      value: "NAME=VALUE",
      summary: "a variable",
    },
    volume: {
      type: "string",
      short: "v",
      multiple: true,
      value: "HOST:CONTAINER[:ro]",
      summary: "a path of the node",
    },
    publish: {
      type: "string",
      short: "p",
      multiple: true,
      value: "HOST:CONTAINER",
      summary: "a port of the node",
    },
    memory: { type: "string", value: "QUANTITY", summary: "most memory" },
    cpus: { type: "string", value: "QUANTITY", summary: "most CPU time" },
    "host-network": { type: "boolean", summary: "the node's network" },
    privileged: { type: "boolean", summary: "nearly the rights of root on the node" },
    detach: { type: "boolean", short: "d", summary: "do not wait; prints the container's id" },
    rm: { type: "boolean", summary: "remove the pod at the end" },
    replace: { type: "boolean", summary: "remove a pod of the same name first" },
    quiet: { type: "boolean", short: "q", summary: "no progress of the pull" },
  },
  arguments: "image",
  positionals: [1, 1],
  passesOnAfter: 1,
  async run(invocation, context) {
    const pod = podFor(invocation);
    const { terminal } = context;
    using client = await context.connect(invocation);
    using interruption = context.interruption();
    const { signal } = interruption;
    const running = await startPod({
      client,
      terminal,
      pod,
      signal,
      replace: invocation.flag("replace"),
      quiet: invocation.flag("quiet"),
    });
    const { started } = running;
    const { id, name, namespace, uid } = started;
    if (invocation.flag("detach")) {
      terminal.out(`${started.containers[0]?.id ?? id}\n`);
      return 0;
    }
    await using undo = new AsyncDisposableStack();
    undo.defer(() => removePod(client, { id, metadata: { name, namespace, uid, attempt: 0 } }));
    const status = await attendPod({ client, terminal, pod: running, signal });
    if (!invocation.flag("rm") && !signal.aborted) {
      undo.move();
      tellNote(terminal, `the pod ${shortId(id)} stays; sauropod rm -pf ${shortId(id)}`);
    }
    return status;
  },
};

/** A manifest, so that everything is checked as in one. JSON is YAML. */
function podFor(invocation: Invocation): PodManifest {
  const suffix = crypto.getRandomValues(new Uint8Array(4)).toHex();
  const name = invocation.text("name") ?? `run-${suffix}`;
  const volumes = invocation.texts("volume").map((text, index) => {
    const [host = "", container = "", mode = ""] = text.split(":");
    if (container === "" || !["", "ro", "rw"].includes(mode)) {
      throw new InvalidArgumentError(`--volume ${shown(text)} must be HOST:CONTAINER[:ro]`);
    }
    return { name: `v${index}`, host, container, readOnly: mode === "ro" };
  });
  const limits = {
    ...(invocation.text("memory") === undefined ? {} : { memory: invocation.text("memory") }),
    ...(invocation.text("cpus") === undefined ? {} : { cpu: invocation.text("cpus") }),
  };
  const [image = ""] = invocation.positionals;
  const manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: invocation.text("namespace") ?? "default" },
    spec: {
      restartPolicy: "Never",
      hostNetwork: invocation.flag("host-network"),
      volumes: volumes.map(({ name, host }) => ({ name, hostPath: { path: host } })),
      containers: [{
        name,
        image,
        imagePullPolicy: "IfNotPresent",
        args: invocation.rest.map((text) => text.replaceAll("$", "$$$$")),
        env: invocation.texts("env").map((text) => {
          const equals = text.indexOf("=");
          const value = equals < 0 ? "" : text.slice(equals + 1).replaceAll("$", "$$$$");
          return { name: equals < 0 ? text : text.slice(0, equals), value };
        }),
        volumeMounts: volumes.map(({ name, container, readOnly }) => ({
          name,
          mountPath: container,
          readOnly,
        })),
        ports: invocation.texts("publish").map(portFor),
        resources: { limits },
        securityContext: { privileged: invocation.flag("privileged") },
      }],
    },
  };
  return parseManifest({ text: json(manifest) }).pods[0]!;
}

function portFor(text: string): unknown {
  const match = /^(?:([0-9a-fA-F.:]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (match === null) {
    throw new InvalidArgumentError(`--publish ${shown(text)} must be [IP:]HOST:CONTAINER[/udp]`);
  }
  const [, hostIP, hostPort, containerPort, protocol = "tcp"] = match;
  return {
    hostPort: Number(hostPort),
    containerPort: Number(containerPort),
    protocol: protocol.toUpperCase(),
    ...(hostIP === undefined ? {} : { hostIP }),
  };
}
