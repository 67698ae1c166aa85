import assert from "node:assert/strict";
import { isErrno, ResourceExhaustedError } from "../errors/mod.ts";
import { newContainerId } from "../model/mod.ts";
import { AF_UNIX, createLinuxKernel, SOCK_SEQPACKET } from "../sys/mod.ts";
import { Attachments } from "./attach.ts";
import { monitorFiles } from "./conmon_arguments.ts";

Deno.test("a client that takes nothing of what a container writes byte by byte is cut off, long before the bytes are many", async () => {
  const kernel = createLinuxKernel();
  const bundle = await Deno.makeTempDir();
  const id = newContainerId();
  try {
    using listener = kernel.socket(AF_UNIX, SOCK_SEQPACKET, 0);
    kernel.bindUnix(listener.number, monitorFiles(bundle).attach);
    kernel.listen(listener.number, 1);
    using attachments = new Attachments(kernel);
    const attached = attachments.attach({
      place: { id, bundle, logPath: "", handler: "runc", cgroupPath: "/x" },
      terminal: false,
      stdin: false,
      stdinOnce: false,
      streams: {
        stdin: undefined,
        stdout: { write: () => new Promise(() => {}), end: () => Promise.resolve() },
        stderr: undefined,
        resizes: undefined,
        signal: new AbortController().signal,
      },
    });
    let isOver = false;
    const outcome = assert.rejects(attached, ResourceExhaustedError)
      .finally(() => isOver = true);
    using monitor = kernel.accept(listener.number);
    kernel.setNonblocking(monitor.number, true);
    const packet = Uint8Array.of(2, 120);
    let written = 0;
    while (!isOver && written < 100_000) {
      try {
        kernel.write(monitor.number, packet);
        written++;
      } catch (error) {
        if (!isErrno(error, "EAGAIN")) throw error;
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    assert.ok(written < 100_000, `${written} packets wait for the client`);
    await outcome;
  } finally {
    await Deno.remove(bundle, { recursive: true });
  }
});

Deno.test("input reaches the monitor of a container that has standard input or a terminal, and of no other", async () => {
  for (
    const [request, reaches] of [
      [{ terminal: false, stdin: false }, false],
      [{ terminal: false, stdin: true }, true],
      [{ terminal: true, stdin: false }, true],
    ] as const
  ) {
    const kernel = createLinuxKernel();
    const bundle = await Deno.makeTempDir();
    try {
      using listener = kernel.socket(AF_UNIX, SOCK_SEQPACKET, 0);
      kernel.bindUnix(listener.number, monitorFiles(bundle).attach);
      kernel.listen(listener.number, 1);
      using attachments = new Attachments(kernel);
      const client = new AbortController();
      const taken = Promise.withResolvers<void>();
      const attached = attachments.attach({
        place: { id: newContainerId(), bundle, logPath: "", handler: "runc", cgroupPath: "/x" },
        ...request,
        stdinOnce: false,
        streams: {
          // Asked for more, whoever reads has done with what came before.
          stdin: (async function* () {
            yield new TextEncoder().encode("hello");
            taken.resolve();
          })(),
          stdout: undefined,
          stderr: undefined,
          resizes: undefined,
          signal: client.signal,
        },
      });
      using monitor = kernel.accept(listener.number);
      kernel.setNonblocking(monitor.number, true);
      await taken.promise;
      const packet = new Uint8Array(64);
      if (reaches) {
        assert.equal(kernel.read(monitor.number, packet), 5);
      } else {
        assert.throws(
          () => kernel.read(monitor.number, packet),
          (error) => isErrno(error, "EAGAIN"),
        );
      }
      client.abort();
      await attached;
    } finally {
      await Deno.remove(bundle, { recursive: true });
    }
  }
});
