import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { newContainerId } from "../model/mod.ts";
import { ContainerConfig } from "../proto/mod.ts";
import { sandboxRecord } from "./_test_records.ts";
import { ContainerLogs } from "./container_logs.ts";
import { PodLayout } from "./layout.ts";

const logs = new ContainerLogs(
  new PodLayout({ root: "/root", runRoot: "/run", namespacesDir: "/ns", logDir: "/logs" }),
);

function pathOf(logDirectory: string, logPath: string): string {
  const sandbox = sandboxRecord({ kind: "ready", addresses: [] } as never, { logDirectory });
  return logs.pathOf(newContainerId(), sandbox, ContainerConfig.fromPartial({ logPath }));
}

Deno.test("a log is below its pod's directory, or has a name of its own", () => {
  assert.equal(pathOf("/var/log/pods/a/", "main/0.log"), "/var/log/pods/a/main/0.log");
  assert.match(pathOf("/var/log/pods/a", ""), /^\/var\/log\/pods\/a\/[0-9a-f]{64}\.log$/);
  assert.match(pathOf("", "main/0.log"), /^\/logs\/[0-9a-f]{64}\/main\/0\.log$/);
  for (const logPath of ["/etc/passwd", "../x", "a/../x"]) {
    assert.throws(() => pathOf("/a", logPath), InvalidArgumentError, logPath);
  }
});

Deno.test("a log whose path the kernel cannot open, or not open anew, is refused by its field", () => {
  // Bytes count, not characters.
  const longest = "é".repeat(125) + "x";
  assert.ok(pathOf("/a", longest).endsWith(longest));
  const whole = (bytes: number) => `${"x/".repeat(bytes).slice(0, bytes - 1)}y`;
  assert.equal(pathOf("/a", whole(4_095 - 4 - "/a/".length)).length, 4_091);
  const refusals: [string, string][] = [
    ["/a", `${longest}x`],
    ["/a", `${"x".repeat(256)}/a`],
    ["/a", whole(4_096 - 4 - "/a/".length)],
    [`/${"x".repeat(256)}`, "a"],
  ];
  for (const [directory, logPath] of refusals) {
    assert.throws(() => pathOf(directory, logPath), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.equal(error.details.field, "config.log_path");
      return true;
    });
  }
});

Deno.test("a log where something else is in its way is refused, and a dangling link is not", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/file`, "");
    await Deno.mkdir(`${directory}/folder`);
    for (const path of ["file/a.log", "file/a/b.log", "folder"]) {
      await assert.rejects(logs.prepare(`${directory}/${path}`), (error) => {
        assert.ok(error instanceof FailedPreconditionError, String(error));
        assert.equal(error.details.field, "config.log_path");
        return true;
      });
    }
    await Deno.symlink("/nowhere/at/all", `${directory}/link`);
    await logs.prepare(`${directory}/link`);
    await assert.rejects(Deno.lstat(`${directory}/link`), Deno.errors.NotFound);
    await logs.prepare(`${directory}/file`);
    await logs.prepare(`${directory}/new/deep/a.log`);
    assert.equal((await Deno.stat(`${directory}/new/deep`)).mode! & 0o777, 0o700);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
