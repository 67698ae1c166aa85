/** The signal that ends a container. @module */
import { Signal } from "../proto/mod.ts";
import { parseSignal, SIGTERM } from "../sys/mod.ts";

/**
 * The signal that ends a container: the request's, else the image's, else SIGTERM.
 *
 * @throws {InvalidArgumentError} the request's value is no signal of the CRI
 */
export function stopSignalOf(request: Signal, image: string): number {
  if (request !== Signal.SIGNAL_RUNTIME_DEFAULT) {
    const name: string = Signal[request] ?? "";
    // The CRI spells the real-time signals without signs.
    const text = name.replace(/^SIGNAL_/, "").replace("PLUS", "+").replace("MINUS", "-");
    return parseSignal(text || String(request), "config.stop_signal");
  }
  if (image === "") return SIGTERM;
  try {
    return parseSignal(image, "image.stop_signal");
  } catch {
    // An image's nonsense must not keep its container from running, nor from being stopped.
    return SIGTERM;
  }
}
