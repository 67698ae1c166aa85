import assert from "node:assert/strict";
import { createLinuxKernel } from "./linux.ts";
import { lockDirectory } from "./lock.ts";
import { withRoot } from "./_test_root.ts";

const kernel = createLinuxKernel();

Deno.test("a directory is locked once; its holder is named; disposing frees it", () =>
  withRoot(async (root) => {
    const lock = lockDirectory(kernel, root);
    assert.throws(() => lockDirectory(kernel, root), new RegExp(`in use by process ${Deno.pid}$`));
    lock[Symbol.dispose]();
    lockDirectory(kernel, root)[Symbol.dispose]();
    // A crash frees it, too.
    const script = `exec 9<"$1"; flock -x 9; echo locked; exec sleep 60`;
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", script, "sh", root],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assert.throws(() => lockDirectory(kernel, root), /in use by (process \d+|another process)$/);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    lockDirectory(kernel, root)[Symbol.dispose]();
  }));
