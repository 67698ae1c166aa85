import assert from "node:assert/strict";
import { isErrno } from "../errors/mod.ts";
import { AT_FDCWD, O_RDONLY } from "./constants.ts";
import { failWith, recordingKernel } from "./recording.ts";

Deno.test("the recording kernel remembers calls and answers as scripted", () => {
  const { kernel: recording, calls } = recordingKernel({
    mount: () => failWith("mount", "EPERM"),
    readlinkat: () => "target",
  });
  using fd = recording.open("/x", O_RDONLY);
  assert.ok(fd.number > 2);
  assert.equal(recording.readlinkat(AT_FDCWD, "/l"), "target");
  assert.throws(
    () => recording.mount("a", "b", null, 0n, null),
    (error) => isErrno(error, "EPERM"),
  );
  assert.deepEqual(calls.map(({ name }) => name), ["open", "readlinkat", "mount"]);
  assert.deepEqual(calls[0]?.args, ["/x", O_RDONLY]);
});
