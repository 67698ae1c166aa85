/** Lists the descriptors of a child before and after sealing. @module */
import { NodeProcessRunner } from "../child_process.ts";
import { createLinuxKernel } from "../linux.ts";
import { sealDescriptors } from "../seal_descriptors.ts";

const runner = new NodeProcessRunner();

async function descriptors(): Promise<string[]> {
  const { stdout } = await runner.run({
    path: "/bin/ls",
    args: ["/proc/self/fd"],
    env: {},
    timeoutMs: 20_000,
    outputLimitBytes: 4096,
  });
  return new TextDecoder().decode(stdout).trim().split("\n");
}

const before = await descriptors();
sealDescriptors(createLinuxKernel());
console.log(JSON.stringify({ before, after: await descriptors() }));
