import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { Mount } from "../proto/mod.ts";
import { createLinuxKernel, ForeignPaths, NodeProcessRunner } from "../sys/mod.ts";
import { type AbandonableFiles, HostPaths } from "./host_paths.ts";

const paths = new ForeignPaths({
  kernel: createLinuxKernel(),
  runner: new NodeProcessRunner(),
  timeoutMs: 60_000,
});

const files: AbandonableFiles = {
  realPath: async (path) => (await paths.stat(path))?.realPath,
  resolveBelow: (root, path) => paths.resolveBelow(root, path),
  makeDirectory: (path) => paths.makeDirectory(path),
};

async function resolver(
  test: (
    root: string,
    resolve: (prefix: string, path: string, rejectAbsent?: readonly string[]) => Promise<string>,
  ) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sauropod-host-paths-" });
  try {
    await test(root, async (prefix, path, rejectAbsent = []) => {
      const hostPaths = new HostPaths({ files, prefix, rejectAbsent });
      const mount = Mount.fromPartial({ hostPath: path });
      const [resolved] = await hostPaths.resolve([mount], new AbortController().signal);
      return resolved!.source;
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("mount sources lead where their links say, and are made if they are missing", () =>
  resolver(async (root, resolve) => {
    await Deno.mkdir(`${root}/data`);
    await Deno.symlink(`${root}/data`, `${root}/link`);
    for (const prefix of ["", "/", "/../"]) {
      assert.equal(await resolve(prefix, `${root}/link`), `${root}/data`);
      assert.equal(await resolve(prefix, `${root}/link/new`), `${root}/data/new`);
    }
    assert((await Deno.stat(`${root}/data/new`)).isDirectory);
  }));

Deno.test("with a prefix, mount sources and their links are below it", () =>
  resolver(async (root, resolve) => {
    await Deno.mkdir(`${root}/run`);
    await Deno.symlink("/run", `${root}/link`);
    assert.equal(await resolve(root, "/link"), `${root}/run`);
    assert.equal(await resolve(root, "/link/a/b"), `${root}/run/a/b`);
    assert((await Deno.stat(`${root}/run/a/b`)).isDirectory);
    assert.equal(await resolve(root, "/etc/passwd"), `${root}/etc/passwd`);
    await assert.rejects(resolve(`${root}/none`, "/run"), FailedPreconditionError);
  }));

Deno.test("a missing source that may not be made is refused by both its names", () =>
  resolver(async (root, resolve) => {
    const absent = `${root}/etc/hostname`;
    await assert.rejects(resolve("", `${root}//etc/hostname`, [absent]), /does not exist/);
    for (const rejected of ["/etc/hostname", absent]) {
      await assert.rejects(resolve(root, "/etc/hostname", [rejected]), /does not exist/);
    }
    assert.deepEqual([...Deno.readDirSync(root)], []);
  }));
