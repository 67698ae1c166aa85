/** A bound datagram socket for tests, such as a service manager has. @module */
import type { Socket } from "node:net";
import { adoptStream } from "../adopted.ts";
import { AF_UNIX, SOCK_DGRAM } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";

export class DatagramListener implements Disposable {
  readonly #socket: Socket;
  readonly #waiting: ((message: string) => void)[] = [];
  readonly #messages: string[] = [];

  /** @param name a path, or `@` and an abstract name */
  constructor(name: string) {
    const libc = Deno.dlopen("libc.so.6", {
      bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    });
    const fd = createLinuxKernel().socket(AF_UNIX, SOCK_DGRAM, 0);
    const bytes = new TextEncoder().encode(name.replace(/^@/, "\0"));
    const address = new Uint8Array(2 + bytes.length);
    address[0] = AF_UNIX;
    address.set(bytes, 2);
    const result = libc.symbols.bind(fd.number, address, address.length);
    libc.close();
    if (result !== 0) throw new Error(`bind to ${name} failed`);
    this.#socket = adoptStream(fd);
    this.#socket.on("data", (chunk: Uint8Array) => {
      const message = new TextDecoder().decode(chunk);
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#messages.push(message);
      else waiting(message);
    });
  }

  /** The next message, in the order of their coming. */
  next(): Promise<string> {
    const message = this.#messages.shift();
    return message === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(message);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
