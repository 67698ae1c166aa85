import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { checkedPropagation, type PropagationInputs } from "./mount_propagation.ts";

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw
31 22 0:26 / /var/lib/kubelet rw shared:7 - ext4 /dev/sdb rw
32 22 0:27 / /mnt/slave rw master:3 - ext4 /dev/sdc rw
33 22 0:28 / /mnt/a\\040b rw - tmpfs tmpfs rw
34 22 0:29 / /mnt/twice rw shared:9 - tmpfs tmpfs rw
35 34 0:30 / /mnt/twice rw - tmpfs tmpfs rw
broken line
`;
const check = (hostPath: string, propagation: PropagationInputs["propagation"]) =>
  checkedPropagation({
    mountinfo,
    hostPath,
    propagation,
    storageRoot: "/var/lib/sauropod",
    field: "config.mounts[0]",
  });

for (
  const [path, propagation, allowed] of [
    ["/home", "bidirectional", true],
    ["/run/x", "bidirectional", false],
    ["/run/x", "host-to-container", false],
    ["/run/x", "private", true],
    ["/runner", "bidirectional", true],
    ["/var/lib/kubelet/pods", "bidirectional", true],
    ["/mnt/slave", "host-to-container", true],
    ["/mnt/slave", "bidirectional", false],
    ["/mnt/a b/c", "bidirectional", false],
    ["/mnt/twice", "bidirectional", false],
  ] as const
) {
  Deno.test(`${path} ${allowed ? "can" : "cannot"} be mounted ${propagation}`, () => {
    if (allowed) assert.equal(check(path, propagation), propagation);
    else assert.throws(() => check(path, propagation), FailedPreconditionError);
  });
}

Deno.test("a private mount of what holds the storage gets the host's unmounts, too", () => {
  for (const path of ["/", "/var/lib", "/var/lib/sauropod"]) {
    assert.equal(check(path, "private"), "host-to-container");
  }
  assert.equal(check("/var/lib/sauropod/x", "private"), "private");
});
