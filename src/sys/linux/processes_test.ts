import assert from "node:assert/strict";
import { isErrno } from "../../errors/mod.ts";
import { createLinuxKernel } from "../linux.ts";
import { signalName } from "../signals.ts";

const kernel = createLinuxKernel();

Deno.test("pidfds carry signals to the process that they were opened for", async () => {
  const child = new Deno.Command("/bin/sleep", { args: ["60"] }).spawn();
  using pidfd = kernel.pidfdOpen(child.pid);
  kernel.pidfdSendSignal(pidfd.number, 15);
  assert.equal((await child.status).signal, signalName(15));
  assert.throws(() => kernel.pidfdSendSignal(pidfd.number, 15), (error) => isErrno(error, "ESRCH"));
});
