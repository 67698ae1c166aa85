import { loadConfiguration } from "../../config/mod.ts";
import { NodeProcessRunner } from "../../sys/mod.ts";
import { type Command, type Invocation, type OptionTable, OUTPUT_OPTION } from "../command.ts";
import { UnavailableError, UnimplementedError } from "../../errors/mod.ts";
import { connectTo } from "../client.ts";
import type { Finding } from "../finding.ts";
import { checkNode } from "../node_check.ts";
import { columns, outputFormat, printStructured } from "../table.ts";
import type { Colour } from "../style.ts";
import { CONFIGURATION_OPTIONS, loadOptionsOf } from "./serve.ts";

const COLOURS: Readonly<Record<string, Colour>> = {
  ok: "green",
  warning: "yellow",
  missing: "red",
};

/** Of `crio check`, which looks at the storage. */
const REPAIR_OPTIONS: OptionTable = Object.fromEntries(
  (["age", "force", "repair", "quick", "wipe"] as const).map((name) => [name, {
    type: name === "age" ? "string" : "boolean",
    summary: "of crio check; not built",
    hidden: true,
  }]),
);

/** @throws {UnimplementedError} the storage shall be looked at, which nothing but a start does */
function refuseRepair(invocation: Invocation): void {
  const asked = Object.keys(REPAIR_OPTIONS)
    .find((name) => invocation.flag(name) || invocation.text(name) !== undefined);
  if (asked === undefined) return;
  throw new UnimplementedError(`check --${asked} is not built: check looks at the node alone`, {
    remedy: "restart the server: each start compares images and containers with the record, and " +
      "fetches again what is damaged",
  });
}

/** `sauropod check`: exit status 1 if pods cannot run on this node. */
export const check: Command = {
  name: "check",
  usage: "[OPTIONS]",
  summary: "show what this node lacks for running pods, and how to get it",
  options: { ...CONFIGURATION_OPTIONS, ...OUTPUT_OPTION, ...REPAIR_OPTIONS },
  positionals: [0, 0],
  async run(invocation, { terminal, env }) {
    refuseRepair(invocation);
    const loaded = await loadConfiguration(loadOptionsOf(invocation, env));
    const findings = [
      ...await checkNode(loaded, {
        processes: new NodeProcessRunner(),
        searchPath: `${
          env.PATH ?? ""
        }:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      }),
      ...await leftovers(loaded.configuration.api.listen),
    ];
    const missing = findings.filter(({ state }) => state === "missing").length;
    const value = { ready: missing === 0, findings };
    if (!printStructured(terminal, outputFormat(invocation), value)) {
      const rows = findings.map(({ subject, state, message, remedy }) => [
        state,
        subject,
        remedy === undefined ? message : `${message}; ${remedy}`,
      ]);
      const paint = (padded: string, _: number, column: number) =>
        terminal.paint.out(column === 0 ? COLOURS[padded.trimEnd()] : undefined, padded);
      terminal.out(`${columns(rows, paint).join("\n")}\n`);
      terminal.out(
        missing === 0
          ? "This node can run pods.\n"
          : `This node cannot run pods: essential things missing: ${missing}.\n`,
      );
    }
    return missing === 0 ? 0 : 1;
  },
};

interface Leftover {
  readonly owner: string;
  readonly kind: string;
  readonly error: string;
  readonly attempts: number;
}

/** What a running server could not take away yet; nothing if none runs. */
async function leftovers(listen: string): Promise<Finding[]> {
  using client = connectTo({ socket: listen.replace(/^unix:\/\//, ""), timeoutMs: 5_000 });
  const found: Finding[] = [];
  try {
    for await (const line of client.lines({ method: "GET", path: "/v1/pending" })) {
      const { owner, kind, error, attempts } = JSON.parse(line) as Leftover;
      found.push({
        subject: "leftover",
        state: "warning",
        message: `${kind} of ${owner} could not be undone in ${attempts} attempts: ${error}`,
        remedy: "mend the cause; it is tried again by itself",
      });
    }
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
  }
  return found;
}
