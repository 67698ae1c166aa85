import assert from "node:assert/strict";
import type { Command } from "./command.ts";
import { COMMANDS } from "./command_line.ts";
import { completionScript, type Shell } from "./completion.ts";

/** A program `sauropod` that knows a few names, and a script that a shell sources. */
async function withShell(
  shell: Shell,
  body: (folder: string, script: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/script`, completionScript(shell, COMMANDS));
    await Deno.writeTextFile(
      `${folder}/sauropod`,
      `#!/bin/sh
case "$1 $2" in
"__names container") printf '%s\\n' web worker 'bad$(touch ${folder}/ran)' ;;
"__names image") printf '%s\\n' localhost/a:1 localhost/a:2 localhost/b:1 ;;
esac
`,
      { mode: 0o755 },
    );
    await body(folder, `${folder}/script`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function output(
  program: string,
  args: readonly string[],
  folder: string,
): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: folder,
    env: { PATH: `${folder}:${Deno.env.get("PATH")}`, HOME: folder, XDG_CONFIG_HOME: folder },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.equal(code, 0, text(stderr));
  assert.equal(text(stderr), "");
  return text(stdout).split("\n").filter((line) => line !== "");
}

/** As readline splits: at spaces, `=` and `:`. */
function splitWords(line: string): string[] {
  return line.split(/\s+|(?<=[=:])|(?=[=:])/);
}

function bashScript(script: string, line: string): string {
  const words = splitWords(line).map((word) => `'${word}'`).join(" ");
  return `source ${script}; COMP_WORDS=(${words}); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
_sauropod; if (( \${#COMPREPLY[@]} )); then printf '%s\\n' "\${COMPREPLY[@]}"; fi`;
}

const isThere = (program: string) =>
  (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch {
      return false;
    }
  });

Deno.test({
  name: "bash completes commands, options, values, files and names, and runs nothing of a name",
  ignore: !isThere("bash"),
  fn: () =>
    withShell("bash", async (folder, script) => {
      await Deno.writeTextFile(`${folder}/pod.yaml`, "");
      const complete = (line: string) =>
        output("bash", ["--norc", "-c", bashScript(script, line)], folder);
      assert.deepEqual(await complete("sauropod pu"), ["pull"]);
      assert.deepEqual(await complete("sauropod m"), ["man", "markdown", "md"]);
      assert.deepEqual(await complete("sauropod pull --q"), ["--quiet"]);
      assert.deepEqual(await complete("sauropod ps -o "), ["table", "json", "yaml"]);
      assert.deepEqual(await complete("sauropod ps --output=j"), ["json"]);
      assert.deepEqual(await complete("sauropod ps --output="), ["table", "json", "yaml"]);
      assert.deepEqual(await complete("sauropod play po"), ["pod.yaml"]);
      assert.deepEqual(await complete("sauropod completion z"), ["zsh"]);
      assert.deepEqual(await complete("sauropod help log"), ["logs"]);
      assert.deepEqual(await complete("sauropod logs -f w"), ["web", "worker"]);
      assert.deepEqual(await complete("sauropod rmi localhost/a:"), ["1", "2"]);
      assert.deepEqual(await complete("sauropod rmi localhost/b:1"), ["1"]);
      assert.deepEqual(await complete("sauropod pull --creds x"), []);
      assert.deepEqual(await complete("sauropod logs bad"), [`bad$(touch ${folder}/ran)`]);
      await assert.rejects(Deno.stat(`${folder}/ran`));
    }),
});

Deno.test({
  name: "fish completes commands, options, values and names",
  ignore: !isThere("fish"),
  fn: () =>
    withShell("fish", async (folder, script) => {
      const complete = async (line: string) => {
        const lines = await output(
          "fish",
          ["--no-config", "-c", `source ${script}; complete -C '${line}'`],
          folder,
        );
        return lines.map((found) => found.split("\t")[0]);
      };
      assert.deepEqual(await complete("sauropod pu"), ["pull"]);
      assert.deepEqual(await complete("sauropod pull --q"), ["--quiet"]);
      assert.deepEqual(await complete("sauropod ps -o j"), ["json"]);
      assert.deepEqual(await complete("sauropod logs wo"), ["worker"]);
      assert.deepEqual(
        await complete("sauropod config c").then((all) => all.includes("check")),
        true,
      );
    }),
});

/** Prints what would be added to the line, and ends. */
const ZSH_SETUP = `
PROMPT= RPROMPT=
autoload -U compinit; compinit -u -D
bindkey '^I' complete-word
source SCRIPT
compadd() {
  if [[ " \${(j: :)@[1,(i)(-|--)]}" == *" -"[OAD]* ]]; then builtin compadd "$@"; return; fi
  local -a hits
  local hit
  builtin compadd -A hits "$@"
  for hit in $hits; do print -r -- "<$hit>"; done
  builtin compadd "$@"
}
comppostfuncs=( exit )
print READ''Y
`;

Deno.test({
  name: "zsh completes commands and options",
  ignore: !isThere("zsh"),
  fn: () =>
    withShell("zsh", async (folder, script) => {
      const complete = async (line: string) => {
        await Deno.writeTextFile(`${folder}/setup`, ZSH_SETUP.replace("SCRIPT", script));
        const program = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'source ${folder}/setup'
while zpty -r shell text; do [[ $text == *READY* ]] && break; done
zpty -w -n shell ${JSON.stringify(line)}$'\\t'
while zpty -r shell text; do print -rn -- $text; done`;
        const lines = await output("zsh", ["-f", "-c", program], folder);
        return lines.flatMap((text) => [...text.matchAll(/<([^<>]+)>/g)].map(([, name]) => name));
      };
      assert.ok((await complete("sauropod pu")).includes("pull"));
      assert.ok((await complete("sauropod logs wo")).includes("worker"));
    }),
});

Deno.test("completion scripts quote what a summary may hold", () => {
  const odd: Command = {
    name: "odd",
    usage: "",
    summary: 'it\'s [a] \\ "thing": $(x) `y`',
    options: {},
    positionals: [0, 0],
    run: () => Promise.resolve(0),
  };
  assert.match(completionScript("fish", [odd]), /-d 'it\\'s \[a\] \\\\ "thing": \$\(x\) `y`'/);
  assert.match(completionScript("zsh", [odd]), /'odd:it'\\''s \[a\]/);
});
