import { FailedPreconditionError, InvalidArgumentError, shown } from "../../errors/mod.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { findContainerOrOnly } from "../lookup.ts";
import { hasEnded } from "../container_end.ts";
import { writeEntries } from "../log_output.ts";
import { readLog } from "../container_log.ts";

/** `sauropod logs [-f] CONTAINER` */
export const logs: Command = {
  name: "logs",
  usage: "[OPTIONS] CONTAINER|POD",
  summary: "show what a container has written",
  options: {
    ...CLIENT_OPTIONS,
    follow: { type: "boolean", short: "f", summary: "go on until the container ends" },
    timestamps: { type: "boolean", short: "t", summary: "the time of each line" },
    tail: { type: "string", value: "LINES", summary: "only the last lines" },
  },
  positionals: [1, 1],
  async run(invocation, context) {
    const tailText = invocation.text("tail");
    if (tailText !== undefined && !/^\d{1,9}$/.test(tailText)) {
      throw new InvalidArgumentError(`--tail ${shown(tailText)} is no number of lines`, {
        field: "tail",
        value: tailText,
      });
    }
    using client = await context.connect(invocation);
    const { id } = await findContainerOrOnly(client, invocation.positionals[0]!);
    const { status } = await client.runtime.containerStatus({ containerId: id });
    const path = status?.logPath ?? "";
    if (path === "") {
      throw new FailedPreconditionError(`The container ${shown(id)} has no log`, { id });
    }
    const entries = readLog({
      path,
      ...(tailText === undefined ? {} : { tail: Number(tailText) }),
      ...(invocation.flag("follow") ? { until: () => hasEnded(client, id) } : {}),
    });
    await writeEntries(context.terminal, entries, { timestamps: invocation.flag("timestamps") });
    return 0;
  },
};
