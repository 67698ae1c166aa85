/** Tells which signals a program of {@link PosixSpawner} finds ignored, as a mask in hexadecimal digits. @module */
import { NodeProcessRunner } from "../child_process.ts";
import { createLinuxKernel } from "../linux.ts";
import { PosixSpawner } from "../posix_spawn.ts";

using spawner = new PosixSpawner(createLinuxKernel());
const { stdout } = await new NodeProcessRunner(spawner).run({
  path: "/bin/sh",
  args: ["-c", "grep SigIgn /proc/self/status"],
  env: { PATH: "/usr/bin:/bin" },
  timeoutMs: 20_000,
  outputLimitBytes: 65_536,
});
console.log(new TextDecoder().decode(stdout).split(/\s+/)[1]);
