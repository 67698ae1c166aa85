import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { cPath, decodePath, encodePath } from "./bytes_path.ts";
import { capabilitiesOf, parseCapabilitySets } from "./capabilities.ts";
import { cgroupLayout } from "./cgroup_mounts.ts";
import { errnoName, errnoNumber } from "./errno.ts";
import { mountsBelow, parseMountInfo } from "./mounts.ts";
import { parseSignal, signalName } from "./signals.ts";
import { sysctlPath } from "./sysctl.ts";

Deno.test("names of any bytes survive the way through a string", () => {
  const names = [
    [0x61, 0xff, 0x62],
    [0xc3, 0xa4],
    [0xc3],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x9f, 0x98, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0xef, 0xbb, 0xbf, 0x41],
    Array.from({ length: 255 }, (_, index) => 255 - index),
  ];
  for (const bytes of names) {
    assert.deepEqual([...encodePath(decodePath(Uint8Array.from(bytes)))], bytes);
  }
  const seen = new Set(names.map((bytes) => decodePath(Uint8Array.from(bytes))));
  assert.equal(seen.size, names.length, "different names stay different");
});

Deno.test("a NUL byte in a path is an invalid argument, not the end of the path", () => {
  assert.throws(() => cPath("/etc/passwd\0.txt"), InvalidArgumentError);
});

Deno.test("signals are read by name and number, real-time ones included", () => {
  const table: Record<string, number> = {
    "15": 15,
    TERM: 15,
    SIGTERM: 15,
    sigterm: 15,
    SIGRTMIN: 34,
    "SIGRTMIN+3": 37,
    "RTMAX-1": 63,
    SIGRTMAX: 64,
    SIGPOLL: 29,
    SIGIOT: 6,
    "64": 64,
  };
  for (const [text, number] of Object.entries(table)) assert.equal(parseSignal(text), number, text);
  const wrong = [
    ...["", "0", "65", "-9", "-1", "1.5", "0x9", "1e1", "9 9", "15 ", "15\n", "SIG", "SIG15"],
    ...["SIGNOPE", "FOO", "constructor", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMAX-31"],
  ];
  for (const text of wrong) {
    assert.throws(() => parseSignal(text), InvalidArgumentError, text);
  }
  assert.equal(signalName(9), "SIGKILL");
  assert.equal(signalName(6), "SIGABRT");
  assert.equal(signalName(37), "SIGRTMIN+3");
  for (let number = 1; number <= 64; number++) {
    if (number !== 32 && number !== 33) assert.equal(parseSignal(signalName(number)), number);
  }
});

Deno.test("errno names and numbers are inverse", () => {
  assert.equal(errnoName(2), "ENOENT");
  assert.equal(errnoName(11), "EAGAIN");
  assert.equal(errnoName(95), "EOPNOTSUPP");
  assert.equal(errnoNumber("EXDEV"), 18);
  assert.equal(errnoName(9999), "E9999");
  assert.throws(() => errnoNumber("ENOPE"), RangeError);
});

Deno.test("sysctl names have a dot form and a slash form", () => {
  assert.equal(sysctlPath("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  assert.equal(sysctlPath("net/ipv4/ip_forward"), "net/ipv4/ip_forward");
  assert.equal(
    sysctlPath("net.ipv4.conf.eth0/100.forwarding"),
    "net/ipv4/conf/eth0.100/forwarding",
  );
  assert.equal(
    sysctlPath("net/ipv4/conf/eth0.100/forwarding"),
    "net/ipv4/conf/eth0.100/forwarding",
  );
});

Deno.test("a sysctl name that could lead elsewhere is refused", () => {
  const names = ["", ".", "..", "a..b", "a/../b", "/a", "a/", "a.", ".a", "a\0b", "a\nb", "./a"];
  for (const name of [...names, "net/./ip", "net.//.//.kernel.x"]) {
    assert.throws(() => sysctlPath(name), InvalidArgumentError, JSON.stringify(name));
  }
});

Deno.test("mountinfo lines are read with escapes and any number of optional fields", () => {
  const text = [
    "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue",
    "37 36 0:45 / /run/a\\040b\\134c\\012d rw - tmpfs tmp\\040fs rw",
    "garbage",
    "38 36 0:46 / /mnt2/x/y ro shared:9 - overlay overlay ro,lowerdir=/a-b",
  ].join("\n");
  const entries = parseMountInfo(text);
  assert.equal(entries.length, 3);
  assert.deepEqual(entries[0]?.propagation, ["master:1", "shared:2"]);
  assert.equal(entries[0]?.root, "/mnt1");
  assert.equal(entries[0]?.major, 98);
  assert.equal(entries[1]?.mountPoint, "/run/a b\\c\nd");
  assert.equal(entries[1]?.source, "tmp fs");
  assert.deepEqual(mountsBelow("/mnt2", entries).map((entry) => entry.id), [38, 36]);
  assert.deepEqual(mountsBelow("/mnt", entries), []);
});

Deno.test("the cgroup layout tells v1, v2 and both apart, and takes no bind mount for a hierarchy", () => {
  const v1 = "31 23 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
  const named = "32 23 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
  const v2 = "33 23 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate";
  const bound = "34 23 0:31 /pod /somewhere rw - cgroup2 cgroup2 rw";
  const layoutOf = (...lines: string[]) =>
    cgroupLayout(parseMountInfo(lines.join("\n")), () => ["hugetlb"]);
  assert.equal(layoutOf(v1, named).mode, "legacy");
  assert.equal(layoutOf(v2, bound).mode, "unified");
  assert.equal(layoutOf(v2, bound).hierarchies.length, 1);
  assert.equal(layoutOf().mode, "none");
  const hybrid = layoutOf(v1, named, v2);
  assert.equal(hybrid.mode, "hybrid");
  assert.deepEqual(hybrid.hierarchies.map(({ controllers }) => controllers), [
    ["cpu", "cpuacct"],
    ["name=systemd"],
    ["hugetlb"],
  ]);
});

Deno.test("capability masks become names", () => {
  assert.deepEqual(capabilitiesOf(0b1001n), ["CAP_CHOWN", "CAP_FOWNER"]);
  assert.equal(capabilitiesOf(0x1ffffffffffn).length, 41);
  assert.deepEqual(parseCapabilitySets("CapEff:\t0000000000000001\nCapBnd:\t0000000001000000\n"), {
    effective: ["CAP_CHOWN"],
    bounding: ["CAP_SYS_RESOURCE"],
  });
});
