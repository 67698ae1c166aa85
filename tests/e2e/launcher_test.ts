/** The self-extracting file: unpacks once, in private, and gives way to the program. */
import assert from "node:assert/strict";

const TOP = new URL("../../", import.meta.url).pathname;

const PROGRAM = `
// Before the line that the test waits for: it sends the signal as soon as it has read that.
if (Deno.args[0] === "wait") {
  Deno.addSignalListener("SIGTERM", () => Deno.exit(42));
  setInterval(() => {}, 1000);
}
console.log(JSON.stringify({
  args: Deno.args,
  pid: Deno.pid,
  umask: Deno.umask(),
  parent: Deno.ppid,
}));
`;

async function withBuild(
  body: (binary: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-launcher-" });
  try {
    await Deno.writeTextFile(`${directory}/program.ts`, PROGRAM);
    const binary = `${directory}/a name with spaces`;
    const { success } = await new Deno.Command(`${TOP}scripts/build`, {
      args: ["--self-extracting", "--entry", `${directory}/program.ts`, "--output", binary],
      stdout: "null",
      stderr: "inherit",
    }).output();
    assert.ok(success);
    await body(binary, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function start(binary: string, unpackDirectory: string, args: readonly string[] = []) {
  const { code, stdout, stderr } = await new Deno.Command(binary, {
    args: [...args],
    env: { SAUROPOD_UNPACK_DIR: unpackDirectory },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("dist/sauropod as a self-extracting file", async (t) => {
  await withBuild(async (binary, directory) => {
    const base = `${directory}/exec`;

    await t.step("several first starts at once all run, and unpack into one folder", async () => {
      const results = await Promise.all(
        [1, 2, 3].map(() => start(binary, base, ["a b", "$x", ""])),
      );
      for (const { out, err, code } of results) {
        assert.equal(code, 0, err);
        assert.deepEqual(JSON.parse(out).args, ["a b", "$x", ""]);
        assert.equal(JSON.parse(out).umask, Deno.umask());
      }
      assert.equal([...Deno.readDirSync(base)].length, 1);
      assert.equal((await Deno.stat(base)).mode! & 0o777, 0o700);
    });

    await t.step("the program is the process that was started, and gets its signals", async () => {
      const child = new Deno.Command(binary, {
        args: ["wait"],
        env: { SAUROPOD_UNPACK_DIR: base },
        stdout: "piped",
      }).spawn();
      const reader = child.stdout.getReader();
      const { value } = await reader.read();
      assert.equal(JSON.parse(new TextDecoder().decode(value)).pid, child.pid);
      reader.releaseLock();
      child.kill("SIGTERM");
      assert.equal((await child.status).code, 42);
      await child.stdout.cancel();
    });

    await t.step("what a killed start left half unpacked is not used", async () => {
      const [version] = [...Deno.readDirSync(base)].map(({ name }) => name);
      await Deno.rename(`${base}/${version}`, `${base}/.unpacking.12345678`);
      await Deno.remove(`${base}/.unpacking.12345678/main.js`);
      await Deno.utime(`${base}/.unpacking.12345678`, 0, 0);
      assert.equal((await start(binary, base)).code, 0);
      assert.deepEqual([...Deno.readDirSync(base)].map(({ name }) => name), [version]);
    });

    await t.step("a folder that others may write to is refused", async () => {
      await Deno.chmod(base, 0o770);
      const open = await start(binary, base);
      assert.match(open.err, /is not a directory of user \d+ with mode 0700/);
      assert.equal(open.code, 1);
      await Deno.chmod(base, 0o700);
      await Deno.symlink(base, `${directory}/link`);
      assert.equal((await start(binary, `${directory}/link`)).code, 1);
    });

    await t.step("earlier versions that nobody runs are removed", async () => {
      await Deno.mkdir(`${base}/0123456789abcdef`);
      const [version] = [...Deno.readDirSync(base)].map(({ name }) => name)
        .filter((name) => /^[0-9a-f]{32}$/.test(name));
      await Deno.remove(`${base}/${version}`, { recursive: true });
      assert.equal((await start(binary, base)).code, 0);
      const names = [...Deno.readDirSync(base)].map(({ name }) => name);
      assert.deepEqual(names.filter((name) => !name.startsWith(".")), [version]);
    });
  });
});
