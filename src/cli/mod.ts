/** The command line: what `main.ts` hands its arguments to. @module */
export { connectTo, type CriClient } from "./client.ts";
export { type CommandLine, runCommandLine } from "./command_line.ts";
export type { Serve, ServeOptions } from "./command.ts";
export { processTerminal, type Terminal } from "./terminal.ts";
