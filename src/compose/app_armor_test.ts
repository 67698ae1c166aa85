import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import type { Command, ProcessRunner } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { NodeAppArmor } from "./app_armor.ts";

interface Node {
  readonly loaded: (names: string) => Promise<void>;
  readonly commands: Command[];
  make(configured?: string, parsers?: readonly string[]): NodeAppArmor;
}

/** A node whose parser "loads" what `onParse` writes into the kernel's list. */
async function withNode(
  test: (node: Node) => Promise<void>,
  onParse: (node: Node) => Promise<number> = async ({ loaded }) => {
    await loaded("crio-default (enforce)\n");
    return 0;
  },
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-apparmor-" });
  const profilesPath = `${directory}/profiles`;
  const commands: Command[] = [];
  const node: Node = {
    loaded: (text) => Deno.writeTextFile(profilesPath, text),
    commands,
    make: (configured = "crio-default", parsers = ["/bin/true"]) =>
      new NodeAppArmor({
        configured,
        profilesPath,
        parsers,
        log: silentLogger,
        runner: {
          run: async (command: Command) => {
            commands.push(command);
            const exitCode = await onParse(node);
            const nothing = new Uint8Array();
            const stderr = new TextEncoder().encode("line 3: syntax error");
            return { exitCode, endedBy: null, stdout: nothing, stderr, truncated: false };
          },
        } as unknown as ProcessRunner,
      }),
  };
  try {
    await node.loaded("man (enforce)\nmy profile (complain)\n");
    await test(node);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("the default profile is loaded once, when the first container needs it", async () => {
  await withNode(async (node) => {
    const appArmor = node.make();
    assert.equal(appArmor.defaultProfile(), "crio-default");
    assert.equal(node.commands.length, 0);
    await Promise.all([appArmor.ensure("crio-default"), appArmor.ensure("crio-default")]);
    await appArmor.ensure("crio-default");
    assert.equal(node.commands.length, 1);
    const text = new TextDecoder().decode(node.commands[0]?.stdin);
    assert.match(text, /^\nprofile crio-default flags=/);
  });
});

Deno.test("a profile that is not loaded is refused by name, whatever it begins like", async () => {
  await withNode(async (node) => {
    const appArmor = node.make();
    await appArmor.ensure("my profile");
    await appArmor.ensure("unconfined");
    for (const name of ["my", "man (enforce)", "absent"]) {
      await assert.rejects(appArmor.ensure(name), (error: Error) => {
        assert.ok(error instanceof FailedPreconditionError);
        assert.equal(error.details.value, name);
        return true;
      });
    }
    assert.equal(node.commands.length, 0);
  });
});

Deno.test("without a parser there is a default only if it is loaded or another is named", async () => {
  await withNode(async (node) => {
    assert.equal(node.make("crio-default", []).defaultProfile(), null);
    assert.equal(node.make("mine", []).defaultProfile(), "mine");
    assert.equal(node.make("unconfined", []).defaultProfile(), "unconfined");
    await node.loaded("crio-default (enforce)\n");
    assert.equal(node.make("", []).defaultProfile(), "crio-default");
  });
});

Deno.test("a parser that fails is told in its own words and tried again", async () => {
  await withNode(async (node) => {
    const appArmor = node.make();
    await assert.rejects(appArmor.ensure("crio-default"), /could not be loaded: line 3/);
    await assert.rejects(appArmor.ensure("crio-default"), /could not be loaded: line 3/);
    assert.equal(node.commands.length, 2);
  }, () => Promise.resolve(1));
});
