import { InvalidArgumentError } from "../../errors/mod.ts";
import { CLIENT_OPTIONS, type Command } from "../command.ts";
import { timeoutOf } from "../endpoint.ts";
import { findContainerOrOnly } from "../lookup.ts";

/** `sauropod exec CONTAINER COMMAND...`: its output when it has ended, and its exit status. */
export const exec: Command = {
  name: "exec",
  usage: "[OPTIONS] CONTAINER|POD COMMAND [ARGUMENT...]",
  summary: "run a command in a container and pass its exit status on",
  description: "Output comes when the command has ended; interactive commands come later.",
  options: CLIENT_OPTIONS,
  arguments: "container",
  positionals: [1, 1],
  passesOnAfter: 1,
  async run(invocation, context) {
    if (invocation.rest.length === 0) {
      throw new InvalidArgumentError("Cannot run nothing in a container", {
        remedy: "give a command after the container, such as: sauropod exec web ls -l",
      });
    }
    using client = await context.connect(invocation);
    const container = await findContainerOrOnly(client, invocation.positionals[0]!);
    const limitMs = invocation.text("timeout") === undefined ? 0 : timeoutOf(invocation);
    const answer = await client.runtime.execSync(
      {
        containerId: container.id,
        cmd: [...invocation.rest],
        timeout: BigInt(Math.ceil(limitMs / 1000)),
      },
      // The server ends the command and everything it started; our own deadline only backs it up.
      { timeoutMs: limitMs === 0 ? 0 : limitMs + 10_000 },
    );
    context.terminal.out(answer.stdout);
    context.terminal.error(answer.stderr);
    return answer.exitCode;
  },
};
