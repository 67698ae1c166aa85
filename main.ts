/**
 * Sauropod: a Kubernetes container runtime in one executable.
 *
 * @module
 */
import { processTerminal, runCommandLine } from "./src/cli/mod.ts";
import { serve } from "./src/compose/mod.ts";

/** The minor version is the Kubernetes minor version whose CRI is served. */
const VERSION = "1.37.0-dev";

if (import.meta.main) {
  const env = Deno.env.toObject();
  const status = await runCommandLine({
    args: Deno.args,
    env,
    terminal: processTerminal(env),
    version: VERSION,
    serve: (options) => serve(options, VERSION),
  });
  Deno.exit(status);
}
