/**
 * A root file system from the distribution's static busybox, and the smallest runtime
 * specification that runs a command in it.
 *
 * @module
 */
import type { JsonObject } from "../../src/model/mod.ts";

const BUSYBOX = "/bin/busybox";
const DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"];

/**
 * Fills `path` (made if missing) with busybox and a link for each of its commands.
 *
 * @throws {Deno.errors.NotFound} the package busybox-static is not installed
 */
export async function makeBusyboxRootfs(path: string): Promise<void> {
  for (const name of DIRECTORIES) await Deno.mkdir(`${path}/${name}`, { recursive: true });
  await Deno.copyFile(BUSYBOX, `${path}/bin/busybox`);
  await Deno.chmod(`${path}/bin/busybox`, 0o755);
  await Deno.chmod(`${path}/tmp`, 0o1777);
  await Deno.writeTextFile(`${path}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  await Deno.writeTextFile(`${path}/etc/group`, "root:x:0:\n");
  const listed = await new Deno.Command(BUSYBOX, { args: ["--list"] }).output();
  for (const applet of new TextDecoder().decode(listed.stdout).split("\n")) {
    if (applet === "" || applet === "busybox") continue;
    await Deno.symlink("busybox", `${path}/bin/${applet}`);
  }
}

export interface MinimalSpecOptions {
  readonly rootfs: string;
  readonly args: readonly string[];
  readonly cgroupPath: string;
  readonly terminal?: boolean;
  readonly env?: readonly string[];
  readonly memoryLimitBytes?: number;
}

/** Process of the specification, also usable for an exec. */
export function minimalProcess(
  options: Pick<MinimalSpecOptions, "args" | "terminal" | "env">,
): JsonObject {
  const capabilities = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE"];
  return {
    terminal: options.terminal ?? false,
    user: { uid: 0, gid: 0 },
    args: options.args,
    env: ["PATH=/bin", ...(options.env ?? [])],
    cwd: "/",
    capabilities: {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
    },
    noNewPrivileges: true,
  };
}

/** Private namespaces throughout, no network but a lonely `lo`, a writable root. */
export function minimalSpec(options: MinimalSpecOptions): JsonObject {
  return {
    ociVersion: "1.0.2",
    process: minimalProcess(options),
    root: { path: options.rootfs, readonly: false },
    hostname: "busybox",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
    ],
    linux: {
      cgroupsPath: options.cgroupPath,
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      ...(options.memoryLimitBytes === undefined ? {} : {
        resources: {
          memory: { limit: options.memoryLimitBytes, swap: options.memoryLimitBytes },
        },
      }),
    },
  };
}
