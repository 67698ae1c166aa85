/** True for a size of huge pages as the kernel writes it in its cgroup files: `2MB`, `1GB`, `64KB`. */
export function isPageSize(text: string): boolean {
  return /^[1-9]\d{0,6}[KMG]B$/.test(text);
}
