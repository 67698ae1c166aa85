/** The AppArmor profile of containers that ask for RuntimeDefault, under CRI-O's name. @module */

export const DEFAULT_APPARMOR_PROFILE = "crio-default";

/**
 * As apparmor_parser reads it, without includes: it must not change with the node's abstractions.
 *
 * A container may do what its capabilities, seccomp filter and namespaces let it, except to mount, to
 * write what of /proc and /sys acts on the whole node, and to signal or trace processes outside of
 * this profile. `deny` wins over `file`, whatever a pod adds to its capabilities.
 */
export const DEFAULT_APPARMOR_TEXT = `
profile ${DEFAULT_APPARMOR_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,

  # The node may end anything; a container only what is in containers.
  signal (receive),
  signal (send) peer=${DEFAULT_APPARMOR_PROFILE},
  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_APPARMOR_PROFILE},
  unix,

  deny mount,
  deny remount,
  deny pivot_root,

  # What of /proc is not of a process, and of /proc/sys all but net, shm, sem and msg.
  deny /proc/* w,
  deny /proc/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** w,
  deny /proc/sys/{[^kn]**,k[^e]**,n[^e]**} w,
  deny /proc/sys/kernel/{[^ms]**,m[^s]**,s[^eh]**} w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  deny /proc/mem rwklx,
  deny /proc/kmem rwklx,

  # Of /sys, fs/cgroup may be written if the mount lets.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;
