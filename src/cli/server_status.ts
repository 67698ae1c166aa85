/** The verbs of `sauropod status`, as CRI-O has them. @module */
import { InvalidArgumentError, shown, UnimplementedError } from "../errors/mod.ts";
import type { CriClient } from "./client.ts";
import type { CommandContext, Invocation } from "./command.ts";
import { findContainer } from "./lookup.ts";
import { columns, outputFormat, printStructured, safeText } from "./table.ts";

/** @returns the exit status */
export async function statusOf(
  verb: string,
  invocation: Invocation,
  context: CommandContext,
): Promise<number> {
  switch (verb) {
    case "config":
    case "c": {
      using client = await context.connect(invocation);
      context.terminal.out(await page(client, "/config"));
      return 0;
    }
    case "info":
    case "i": {
      using client = await context.connect(invocation);
      print(JSON.parse(await page(client, "/info")), invocation, context);
      return 0;
    }
    case "containers":
    case "container":
    case "cs":
    case "s": {
      const query = invocation.text("id");
      if (query === undefined) {
        throw new InvalidArgumentError("Cannot tell of no container: --id is missing", {
          field: "id",
          remedy: "give --id with one of sauropod ps -a",
        });
      }
      using client = await context.connect(invocation);
      const { id } = await findContainer(client, query);
      print(JSON.parse(await page(client, `/containers/${id}`)), invocation, context);
      return 0;
    }
    case "goroutines":
    case "g":
    case "heap":
    case "hp":
      throw new UnimplementedError(`status ${verb} is not built: this is no Go program`, {
        remedy: "see sauropod status, and the server's log with --log-level debug",
      });
    default:
      throw new InvalidArgumentError(`There is no status of ${shown(verb)}`, {
        value: verb,
        remedy: "give config, containers, info or nothing",
      });
  }
}

async function page(client: CriClient, path: string): Promise<string> {
  let text = "";
  for await (const line of client.lines({ method: "GET", path })) text += `${line}\n`;
  return text;
}

/** One row a field, as CRI-O prints them; lists and maps as JSON. */
function print(
  value: Readonly<Record<string, unknown>>,
  invocation: Invocation,
  { terminal }: CommandContext,
): void {
  if (printStructured(terminal, outputFormat(invocation), value)) return;
  const rows = Object.entries(value).map(([name, field]) => [
    `${name.replaceAll("_", " ")}:`,
    safeText(typeof field === "object" ? JSON.stringify(field) : String(field)),
  ]);
  terminal.out(`${columns(rows).join("\n")}\n`);
}
