import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { forEach } from "../failure.ts";
import { findContainerNotPod, findPod } from "../lookup.ts";

const GRACE_S = 10;

/** `sauropod stop`: containers, or pods with `--pod`. */
export const stop: Command = {
  name: "stop",
  usage: "[OPTIONS] CONTAINER...",
  summary: "stop containers, or pods with --pod",
  options: {
    ...CLIENT_OPTIONS,
    pod: { type: "boolean", short: "p", summary: "the arguments are pods" },
    grace: { type: "string", short: "t", value: "SECONDS", summary: "time until the kill (10)" },
  },
  arguments: "container",
  positionals: [1, Infinity],
  async run(invocation, context) {
    using client = await context.connect(invocation);
    const graceText = invocation.text("grace") ?? String(GRACE_S);
    if (!/^\d{1,9}$/.test(graceText)) {
      context.terminal.error("error: --grace must be a number of seconds\n");
      return 2;
    }
    return await forEach(context.terminal, invocation.positionals, async (query) => {
      if (invocation.flag("pod")) {
        const pod = await findPod(client, query);
        await client.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: 0 });
        return;
      }
      const container = await findContainerNotPod(client, query);
      await client.runtime.stopContainer(
        { containerId: container.id, timeout: BigInt(graceText) },
        { timeoutMs: 0 },
      );
    });
  },
};
