/**
 * A virtual machine in software emulation: Debian's cloud kernel and a root file system made by
 * debootstrap, with systemd, cgroup v2 and AppArmor. It has no network device.
 *
 * @module
 */
import { createHash } from "node:crypto";

const PACKAGES = [
  ...["systemd", "systemd-sysv", "dbus", "udev", "kmod", "util-linux", "procps", "iproute2"],
  ...["linux-image-cloud-amd64", "initramfs-tools", "zstd"],
  ...["runc", "crun", "conmon", "containernetworking-plugins", "iptables"],
  ...["apparmor", "ca-certificates", "golang-github-containers-common"],
];
const SUITE = "bookworm";
const MIRROR = "http://deb.debian.org/debian";
const DISK_MIB = 1_800;

/** Runs what the second disk brings, writes what it says to the second serial line, and powers off. */
const PAYLOAD_UNIT = `[Unit]
Description=What the host brings on the second disk
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /payload && mount -o ro /dev/vdb /payload && exec /payload/run'
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
TimeoutStartSec=infinity
`;

const PAYLOAD_TARGET = `[Unit]
Description=The node, then its tests
Requires=multi-user.target
Wants=payload.service
AllowIsolate=yes
`;

const KERNEL_ARGUMENTS = [
  ...["root=/dev/vda", "rw", "console=ttyS0", "quiet", "net.ifnames=0", "panic=-1"],
  ...["apparmor=1", "security=apparmor", "systemd.unit=payload.target"],
];

export interface MachineBase {
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** The root disk and the kernel, made once for each recipe. Two calls at once wait for each other. */
export async function machineBase(
  cache: string,
  say: (text: string) => void,
): Promise<MachineBase> {
  const recipe = createHash("sha256")
    .update(JSON.stringify([PACKAGES, SUITE, DISK_MIB, PAYLOAD_UNIT, PAYLOAD_TARGET]))
    .digest("hex").slice(0, 12);
  const folder = `${cache}/${recipe}`;
  await Deno.mkdir(cache, { recursive: true });
  using lock = await Deno.open(`${cache}/lock`, { create: true, write: true });
  await lock.lock(true);
  if (!await isThere(folder)) {
    say("the machine's root file system is made once, by debootstrap: some minutes");
    const temporary = `${folder}.new`;
    await Deno.remove(temporary, { recursive: true }).catch(() => {});
    await Deno.mkdir(temporary);
    await makeBase(temporary);
    await Deno.rename(temporary, folder);
  }
  return { disk: `${folder}/disk`, kernel: `${folder}/vmlinuz`, initrd: `${folder}/initrd` };
}

async function makeBase(folder: string): Promise<void> {
  const root = `${folder}/root`;
  await run("debootstrap", ["--variant=minbase", `--include=${PACKAGES}`, SUITE, root, MIRROR]);
  const units = `${root}/etc/systemd/system`;
  await Deno.writeTextFile(`${units}/payload.service`, PAYLOAD_UNIT);
  await Deno.writeTextFile(`${units}/payload.target`, PAYLOAD_TARGET);
  await Deno.writeTextFile(`${root}/etc/hostname`, "vm\n");
  await Deno.writeTextFile(`${root}/etc/fstab`, "/dev/vda / ext4 rw 0 1\n");
  await Deno.remove(`${root}/var/cache/apt/archives`, { recursive: true });
  for (const name of ["vmlinuz", "initrd"]) {
    const boot = [...Deno.readDirSync(`${root}/boot`)].find((file) => file.name.startsWith(name));
    if (boot === undefined) throw new Error(`the kernel package brought no ${name}`);
    await Deno.copyFile(`${root}/boot/${boot.name}`, `${folder}/${name}`);
  }
  await makeDisk(`${folder}/disk`, root, DISK_MIB);
  await run("rm", ["-rf", "--one-file-system", root]);
}

/** An ext4 file system with a folder's content, as a file that takes no more space than it holds. */
export async function makeDisk(path: string, folder: string, sizeMib: number): Promise<void> {
  await run("mkfs.ext4", ["-q", "-O", "^has_journal", "-d", folder, path, `${sizeMib}M`]);
}

export interface BootOptions {
  readonly base: MachineBase;
  /** Disk whose file `run` the machine runs. */
  readonly payload: string;
  /** Folder for what the machine writes: `console` and `output`. */
  readonly logs: string;
  readonly memoryMib: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Boots, and resolves when the machine has powered off. The root disk stays as it was.
 *
 * @throws {Error} it was still running after `timeoutMs`, or `signal` fired: it is killed then
 */
export async function boot(options: BootOptions): Promise<void> {
  const { base, payload, logs } = options;
  const disk = (
    file: string,
    more: string,
  ) => ["-drive", `file=${file},if=virtio,format=raw,${more}`];
  const machine = new Deno.Command("qemu-system-x86_64", {
    args: [
      ...["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max"],
      ...["-smp", "2", "-m", String(options.memoryMib), "-nodefaults", "-no-user-config"],
      ...["-display", "none", "-nic", "none", "-no-reboot"],
      ...["-kernel", base.kernel, "-initrd", base.initrd],
      ...["-append", KERNEL_ARGUMENTS.join(" ")],
      ...disk(base.disk, "snapshot=on,cache=unsafe"),
      ...disk(payload, "readonly=on"),
      ...["-serial", `file:${logs}/console`, "-serial", `file:${logs}/output`],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const kill = () => {
    try {
      machine.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, options.timeoutMs);
  options.signal.addEventListener("abort", kill, { once: true });
  try {
    const { code } = await machine.status;
    options.signal.throwIfAborted();
    if (late) throw new Error(`the machine ran longer than ${options.timeoutMs} ms`);
    if (code !== 0) throw new Error(`qemu ended with ${code}`);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", kill);
  }
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, code } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${program} ended with ${code}`);
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
