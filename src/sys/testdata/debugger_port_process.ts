/** Loads what makes SIGUSR1 open the debugger, and closes the port if asked to. @module */
import "@grpc/grpc-js";
import process from "node:process";
import { closeDebuggerPort } from "../debugger_port.ts";

if (Deno.args[0] === "closed") {
  closeDebuggerPort();
  // A later listener must not undo it.
  process.on("SIGUSR1", () => {});
  console.log("ready");
} else {
  // Deno sets its own handler a little after the start.
  setTimeout(() => console.log("ready"), 1000);
}
setTimeout(() => {}, 60_000);
