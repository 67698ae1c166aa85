/**
 * The program in `tests/e2e/client`: the Go libraries of the kubelet and of kubectl as clients.
 *
 * @module
 */
import assert from "node:assert/strict";

const TOP = new URL("../../", import.meta.url).pathname;

/** Why tests that build a program in Go cannot run here, if they cannot: pods need root. */
export function lackingForGo(): string | undefined {
  if (Deno.uid() !== 0) return "needs root";
  try {
    new Deno.Command("go", { args: ["version"] }).outputSync();
    return undefined;
  } catch {
    return "needs Go";
  }
}

/**
 * Go's own cache makes a second build a matter of a second.
 *
 * @returns path of the executable, which needs no libraries and so runs in any container
 */
export async function buildGoClient(): Promise<string> {
  const path = `${TOP}.cache/e2e/cri-client`;
  const { success } = await new Deno.Command("go", {
    args: ["build", "-trimpath", "-mod=readonly", "-o", path, "."],
    cwd: `${TOP}tests/e2e/client`,
    env: { CGO_ENABLED: "0" },
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  assert.ok(success, "go build of the client");
  return path;
}

/** What the program said: its lines, those of failed checks, and its exit status. */
export interface GoClientReport {
  readonly code: number;
  readonly passed: number;
  /** Every line that is no passed check. */
  readonly rest: string;
}

export async function runGoClient(path: string, args: readonly string[]): Promise<GoClientReport> {
  const { code, stdout } = await new Deno.Command(path, { args: [...args], stderr: "inherit" })
    .output();
  const lines = new TextDecoder().decode(stdout).split("\n");
  const passed = lines.filter((line) => line.startsWith("ok ")).length;
  return { code, passed, rest: lines.filter((line) => !line.startsWith("ok ")).join("\n") };
}

/** The last lines of a server's log. */
export async function tail(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).split("\n").slice(-30).join("\n");
}
