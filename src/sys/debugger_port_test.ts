import assert from "node:assert/strict";

const script = new URL("./testdata/debugger_port_process.ts", import.meta.url);

/** The TCP ports that a process listens on, after it got SIGUSR1. */
async function portsAfterSignal(mode: "closed" | "open"): Promise<number[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script.pathname, mode],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  try {
    const reader = child.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    let ports: number[] = [];
    for (let i = 0; i < 20 && ports.length === 0; i++) {
      child.kill("SIGUSR1");
      await new Promise((resolve) => setTimeout(resolve, 50));
      ports = listeningPorts(child.pid);
    }
    return ports;
  } finally {
    child.kill("SIGKILL");
    await child.stdout.cancel();
    await child.status;
  }
}

function listeningPorts(pid: number): number[] {
  const sockets = new Set<string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(Deno.readLinkSync(`/proc/${pid}/fd/${name}`))?.[1];
      if (inode !== undefined) sockets.add(inode);
    } catch {
      // Closed meanwhile.
    }
  }
  const ports: number[] = [];
  for (const line of Deno.readTextFileSync("/proc/net/tcp").split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields[3] === "0A" && sockets.has(fields[9] ?? "")) {
      ports.push(parseInt(fields[1]?.split(":")[1] ?? "", 16));
    }
  }
  return ports;
}

Deno.test("SIGUSR1 opens no debugger port once it is closed, and without that it would", async () => {
  assert.deepEqual(await portsAfterSignal("open"), [9229]);
  assert.deepEqual(await portsAfterSignal("closed"), []);
});
