/** A runtime that is measured, and how its process is begun and ended. @module */

export interface PeerOptions {
  readonly bridge: string;
  /** `10.88.0.0/16` */
  readonly subnet: string;
  /** Image of the sandbox container, for runtimes that need one. */
  readonly pauseImage: string;
}

export interface Peer extends AsyncDisposable {
  readonly name: string;
  readonly socket: string;
  readonly pid: number;
  /** Program name of its monitors or shims, whose memory counts. */
  readonly monitorName: string;
  readonly directory: string;
  readonly bridge: string;
  /** Settles when it ends, wanted or not. */
  readonly ended: Promise<unknown>;
}

export async function cniConfig(
  folder: string,
  bridge: string,
  subnet: string,
  leases: string,
): Promise<void> {
  await Deno.writeTextFile(
    `${folder}/10-bench.conflist`,
    JSON.stringify({
      cniVersion: "1.0.0",
      name: "bench",
      plugins: [
        {
          type: "bridge",
          bridge,
          isGateway: true,
          ipMasq: false,
          ipam: {
            type: "host-local",
            dataDir: leases,
            ranges: [[{ subnet }]],
            routes: [{ dst: "0.0.0.0/0" }],
          },
        },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    }),
  );
}

/** Ends a peer's process and takes its mounts, bridge and folder away. */
export async function ended(
  child: Deno.ChildProcess,
  directory: string,
  bridge: string,
): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch {
    // It has ended already.
  }
  await child.status;
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${directory}/`));
  for (const path of mounts.reverse()) await run("umount", "-l", path);
  await run("ip", "link", "delete", bridge);
  await Deno.remove(directory, { recursive: true });
}

async function run(program: string, ...args: string[]): Promise<void> {
  await new Deno.Command(program, { args, stdout: "null", stderr: "null" }).output();
}
