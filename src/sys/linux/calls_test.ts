import assert from "node:assert/strict";
import { SyscallError } from "../../errors/mod.ts";
import { O_RDONLY, O_RDWR } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";

const kernel = createLinuxKernel();

Deno.test("a failed call tells syscall, subject, errno and kind", () => {
  assert.throws(() => kernel.open("/no/such/file", O_RDONLY), (error: SyscallError) => {
    assert.ok(error instanceof SyscallError);
    assert.equal(error.message, 'open "/no/such/file": ENOENT');
    assert.equal(error.errno, 2);
    assert.equal(error.kind, "not_found");
    return true;
  });
});

Deno.test("descriptors are close-on-exec, close once, and can be given away", () => {
  const fd = kernel.open("/dev/null", O_RDWR);
  const flags = /^flags:\s+(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd.number}`))
    ?.[1];
  assert.equal(parseInt(flags ?? "", 8) & 0o2000000, 0o2000000);
  fd.close();
  fd.close();
  assert.equal(fd.closed, true);
  assert.throws(() => fd.release(), SyscallError);
});
