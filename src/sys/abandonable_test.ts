import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { withRoot } from "./_test_root.ts";
import { ForeignPaths } from "./abandonable.ts";
import { NodeProcessRunner } from "./child_process.ts";
import { createLinuxKernel } from "./linux.ts";

const kernel = createLinuxKernel();
const paths = new ForeignPaths({ kernel, runner: new NodeProcessRunner(), timeoutMs: 60_000 });

Deno.test("resolveBelow() follows links as a process with that root would, to what exists and what does not", () =>
  withRoot(async (root) => {
    Deno.mkdirSync(`${root}/host/run/app`, { recursive: true });
    Deno.mkdirSync(`${root}/host/var`);
    Deno.symlinkSync("/run", `${root}/host/var/run`);
    Deno.symlinkSync("../../../../etc", `${root}/host/var/up`);
    Deno.symlinkSync("/new", `${root}/host/dangling`);
    Deno.symlinkSync("loop", `${root}/host/loop`);
    Deno.symlinkSync("host", `${root}/alias`);
    const below = (path: string) => paths.resolveBelow(`${root}/host`, path);
    const found = (path: string, exists = true) => ({ path: `${root}/host${path}`, exists });
    assert.deepEqual(await below("/var/run/app"), found("/run/app"));
    assert.deepEqual(await below("/var//run/../run/."), found("/run"));
    assert.deepEqual(await below("/../../run"), found("/run"));
    // The root has no /etc, the machine has.
    assert.deepEqual(await below("/var/up/passwd"), found("/etc/passwd", false));
    assert.deepEqual(await below("/etc/passwd"), found("/etc/passwd", false));
    assert.deepEqual(await below("/var/run/new/er"), found("/run/new/er", false));
    assert.deepEqual(await below("/dangling/x"), found("/new/x", false));
    assert.deepEqual(await paths.resolveBelow(`${root}/alias`, "/var/run/none"), {
      path: `${root}/host/run/none`,
      exists: false,
    });
    await assert.rejects(below("/loop/x"), FailedPreconditionError);
    await assert.rejects(paths.resolveBelow(`${root}/none`, "/x"), FailedPreconditionError);
  }));
