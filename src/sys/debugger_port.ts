/**
 * Keeps SIGUSR1 from opening Deno's debugger: whoever reaches 127.0.0.1:9229 (any pod on the host's
 * network) would run code in this process.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import { SIGUSR1 } from "./signals.ts";

/**
 * Makes SIGUSR1 harmless for the rest of this process. Call it once, early, on the main thread;
 * later listeners do not undo it, and none is called any more.
 *
 * @throws {InternalError} the handler could not be set
 */
export function closeDebuggerPort(): void {
  // First the runtime's own handler, so that it is not set over ours later.
  Deno.addSignalListener("SIGUSR1", () => {});
  const libc = Deno.dlopen("libc.so.6", {
    dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
    signal: { parameters: ["i32", "pointer"], result: "pointer" },
  });
  // abs(3) takes an int and does nothing else: a handler that needs no code of ours and, unlike
  // SIG_IGN, is not inherited by containers.
  const harmless = libc.symbols.dlsym(null, new TextEncoder().encode("abs\0"));
  const previous = libc.symbols.signal(SIGUSR1, harmless);
  const failed = Deno.UnsafePointer.value(previous) === 0xffffffffffffffffn;
  if (harmless === null || failed) {
    throw new InternalError("SIGUSR1 could not be kept from opening the debugger", {
      syscall: "signal",
    });
  }
}
