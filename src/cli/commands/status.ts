import { CLIENT_OPTIONS, type Command, OUTPUT_OPTION } from "../command.ts";
import { statusOf } from "../server_status.ts";
import { columns, outputFormat, printStructured } from "../table.ts";

/** `sauropod status`: the server's own conditions. Exit status 1 if it is not ready. */
export const status: Command = {
  name: "status",
  usage: "[config | containers --id ID | info] [OPTIONS]",
  summary: "show whether the server and its network are ready",
  description: "Exits with 1 if they are not. The verbs are those of crio status.",
  options: {
    ...CLIENT_OPTIONS,
    ...OUTPUT_OPTION,
    id: { type: "string", short: "i", value: "ID", summary: "of status containers: which one" },
  },
  verbs: [
    { name: "config", aliases: ["c"], summary: "the configuration in effect" },
    { name: "containers", aliases: ["container", "cs", "s"], summary: "one container, by --id" },
    { name: "info", aliases: ["i"], summary: "cgroup driver, storage driver and directories" },
  ],
  positionals: [0, 1],
  async run(invocation, context) {
    const [verb] = invocation.positionals;
    if (verb !== undefined) return await statusOf(verb, invocation, context);
    using client = await context.connect(invocation);
    const [version, answer, config] = await Promise.all([
      client.runtime.version({}),
      client.runtime.status({ verbose: true }),
      client.runtime.runtimeConfig({}),
    ]);
    const conditions = answer.status?.conditions ?? [];
    const { terminal } = context;
    if (!printStructured(terminal, outputFormat(invocation), { version, ...answer, config })) {
      const rows = [
        ["server:", `${version.runtimeName} ${version.runtimeVersion}`],
        ["socket:", client.socket],
        ...conditions.map(({ type, status, reason, message }) => [
          `${type}:`,
          status ? "yes" : `no: ${reason}: ${message}`,
        ]),
        ["handlers:", answer.runtimeHandlers.map(({ name }) => name || "(default)").join(", ")],
      ];
      terminal.out(`${columns(rows).join("\n")}\n`);
    }
    return conditions.every((condition) => condition.status) ? 0 : 1;
  },
};
