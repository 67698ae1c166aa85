/**
 * True for a list of processors or memory nodes as in cpuset(7): `0-3,8`.
 *
 * The kernel also takes groups (`0-31:2/4`) and names (`all`); the OCI runtimes and systemd do not.
 */
export function isCpuList(text: string): boolean {
  return text.split(",").every((part) => {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    return match !== null && Number(match[1]) <= Number(match[2] ?? match[1]);
  });
}
