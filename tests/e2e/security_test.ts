/**
 * Requests and images that mean ill; each test names what is kept out. Sysctls are judged at three
 * places, each of which suffices for what is asked for here.
 *
 * @module
 */
import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer, type TestEntry } from "../integration/test_images.ts";
import { onWorkbench, refused } from "../support/workbench.ts";

/** Where links of the hostile images point to on the host. */
const CANARY = Deno.makeTempDirSync({ prefix: "sauropod-canary-" });
Deno.test.afterAll(() => Deno.removeSync(CANARY, { recursive: true }));

function without(...paths: string[]): TestEntry[] {
  return busyboxLayer().filter(({ path }) => !paths.some((prefix) => path.startsWith(prefix)));
}

const asUser = (user: string) => () =>
  busyboxImage({ config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], User: user } });

/** User names and numbers that no container may run as. */
const USERS: readonly (readonly [string, string])[] = [
  ["negative", "-1"],
  ["two-to-31", "2147483648"],
  ["two-to-32", "4294967296"],
  ["beyond", "18446744073709551616"],
  ["hexadecimal", "0x0"],
  ["group", "1000:4294967296"],
  ["absent", "nobody-here"],
];

/** Volumes whose paths lead through links to the host, or are none. */
const VOLUME_LINKS: Readonly<Record<string, readonly string[]>> = {
  "link": ["/out/volume"],
  "link-itself": ["/out"],
  "dots": ["/up/volume"],
  "file": ["/file/volume"],
};

const test = onWorkbench({
  images: {
    "etc-link": () =>
      busyboxImage({ layers: [[...without("etc"), { path: "etc", link: CANARY }]] }),
    "etc-dots": () =>
      busyboxImage({
        layers: [[...without("etc"), { path: "etc", link: `../../../../../../../..${CANARY}` }]],
      }),
    "file-links": () =>
      busyboxImage({
        layers: [[
          ...without("etc/"),
          { path: "etc/" },
          ...["passwd", "group", "hosts", "hostname", "resolv.conf", "mtab"].map((name) => ({
            path: `etc/${name}`,
            link: `${CANARY}/${name}`,
          })),
          { path: "data", link: CANARY },
        ]],
      }),
    "folder-break": () =>
      busyboxImage({
        config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], WorkingDir: "/tmp\nevil::0:0::/:/bin/sh" },
      }),
    "folder-link": () =>
      busyboxImage({
        layers: [[
          ...busyboxLayer(),
          { path: "proc/self/" },
          { path: "proc/self/fd/" },
          { path: "proc/self/fd/7/" },
          { path: "way-out", link: "/proc/self/fd" },
          { path: "nowhere", link: "/proc/1/fd" },
        ]],
      }),
    "passwd-fifo": () =>
      busyboxImage({
        layers: [[...without("etc/passwd"), { path: "etc/passwd", fifo: true }]],
        config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], User: "web" },
      }),
    "group-fifo": () =>
      busyboxImage({
        layers: [[...without("etc/group"), { path: "etc/group", fifo: true }]],
        config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], User: "0:web" },
      }),
    "passwd-huge": () =>
      busyboxImage({
        layers: [[
          ...without("etc/passwd"),
          { path: "etc/passwd", content: new Uint8Array(64 << 20).fill(0x61) },
        ]],
        config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], User: "web" },
      }),
    "told-too-much": () =>
      busyboxImage({
        config: {
          Cmd: ["/bin/sh"],
          Env: ["PATH=/bin"],
          Labels: {
            "org.systemd.property.ExecStopPost": "'/bin/touch'",
            "io.kubernetes.cri-o.TTY": "true",
            "io.kubernetes.cri-o.userns-mode": "auto",
          },
          Volumes: { [`../../../../..${CANARY}/volume`]: {}, "/data/volume": {} },
          WorkingDir: "/proc/self/fd/7",
        },
      }),
    ...Object.fromEntries(
      Object.entries(VOLUME_LINKS).map(([name, volumes]) => [
        `volume-${name}`,
        () =>
          busyboxImage({
            layers: [[
              ...busyboxLayer(),
              { path: "out", link: CANARY },
              { path: "up", link: `../../../../../../../..${CANARY}` },
              { path: "file", content: "in the way" },
            ]],
            config: {
              Cmd: ["/bin/sh"],
              Env: ["PATH=/bin"],
              Volumes: Object.fromEntries(volumes.map((volume) => [volume, {}])),
            },
          }),
      ]),
    ),
    ...Object.fromEntries(USERS.map(([name, user]) => [`user-${name}`, asUser(user)])),
  },
});

const bytes = (text: string) => new TextEncoder().encode(text);

test("a line break in HOME or in a folder's name puts no line into /etc/passwd (CVE-2022-4318, CVE-2026-15809)", async (bench) => {
  const evil = (ending: string) => `/tmp${ending}evil::0:0::/:/bin/sh${ending}`;
  const endings = ["\n", "\r", ":", "\\n"];
  const asked = [
    ...endings.map((ending) => ({ envs: [{ key: "HOME", value: bytes(evil(ending)) }] })),
    ...endings.map((ending) => ({ workingDir: evil(ending).replaceAll("//", "/") })),
    { image: { image: bench.image("folder-break") } },
  ];
  for (const part of asked) {
    const container = { ...part, linux: { securityContext: { runAsUser: { value: 4321n } } } };
    const passwd = await bench.output("cat /etc/passwd", { container }).catch((error: Error) => {
      assert.match(error.message, /INVALID_ARGUMENT/);
      return "";
    });
    for (const line of passwd.split(/[\r\n]/)) {
      assert.doesNotMatch(line, /^evil:/, JSON.stringify(part));
      assert.ok(line === "" || line.split(":").length === 7, line);
    }
    await bench.clear();
  }
});

test("a sysctl sets itself and nothing beside it (CVE-2022-0811)", async (bench) => {
  const before = Deno.readTextFileSync("/proc/sys/kernel/core_pattern");
  const values = [
    "1+kernel.core_pattern=|/bin/false",
    "1 kernel.core_pattern=|/bin/false",
    "1\nkernel.core_pattern=|/bin/false",
    "1,kernel.core_pattern=|/bin/false",
    "1\0kernel.core_pattern",
  ];
  const keys = [
    "net.ipv4.ip_forward=1+kernel.core_pattern",
    "net/../kernel/core_pattern",
    "net.ipv4..ip_forward",
    "net.ipv4.ip_forward\n",
    "kernel.shm_rmid_forced/../core_pattern",
    "/kernel/core_pattern",
  ];
  const asked = [
    ...values.map((value) => ({ "kernel.shm_rmid_forced": value })),
    ...keys.map((key) => ({ [key]: "1" })),
  ];
  for (const sysctls of asked) {
    const config = bench.sandboxConfig({ pod: { linux: { sysctls: sysctls as never } } });
    await refused(bench.runtime.runPodSandbox({ config }), "INVALID_ARGUMENT", "sysctls");
  }
  assert.equal(Deno.readTextFileSync("/proc/sys/kernel/core_pattern"), before);
});

test("links in an image are followed inside it, never on the host (CVE-2024-5154)", async (bench) => {
  Deno.writeTextFileSync(`${CANARY}/passwd`, "untouched\n");
  for (const image of ["etc-link", "etc-dots", "file-links"]) {
    const container = {
      workingDir: "/etc/made",
      linux: { securityContext: { runAsUser: { value: 4321n } } },
      mounts: image === "file-links"
        ? [{ hostPath: bench.node.logDir, containerPath: "/data/mounted" }]
        : [],
    };
    try {
      const made = await bench.pod({ image, container });
      const { stdout } = await made.exec("cat /etc/passwd");
      assert.ok(!stdout.includes("untouched"), "a file of the host is shown inside");
    } catch (error) {
      // The runtime may refuse what it finds; the host must be the same all the same.
      if (error instanceof assert.AssertionError) throw error;
    }
    assert.deepEqual([...Deno.readDirSync(CANARY)].map(({ name }) => name), ["passwd"], image);
    assert.equal(Deno.readTextFileSync(`${CANARY}/passwd`), "untouched\n");
    assert.deepEqual(mountsOn(CANARY), []);
    await bench.clear();
  }
});

function mountsOn(path: string): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .map((line) => line.split(" ")[4] ?? "").filter((mounted) => mounted.startsWith(path));
}

test("a passwd or group file that is a pipe or huge neither hangs nor fills the server (CVE-2025-4437)", async (bench) => {
  const memory = () =>
    Number(/^VmHWM:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${bench.server.pid}/status`))?.[1]);
  const before = memory();
  const started = performance.now();
  for (const image of ["passwd-fifo", "passwd-huge", "group-fifo"]) {
    const sandbox = await bench.sandbox();
    const outcome = await bench.created(sandbox, { image }).then(
      () => "made",
      (error: Error) => error.message,
    );
    assert.notEqual(outcome, "made", "its user cannot be looked up");
    assert.match(outcome, new RegExp(`etc/${image.split("-")[0]}`));
  }
  assert.ok(performance.now() - started < 20_000, "it did not wait for a writer");
  assert.ok(memory() - before < 48 << 10, `${memory() - before} KiB more`);
});

test("a user that is no user of the system is refused, never cut to root (CVE-2024-40635)", async (bench) => {
  const sandbox = await bench.sandbox();
  for (const [name, user] of USERS) {
    const made = bench.created(sandbox, {
      image: `user-${name}`,
      container: { metadata: { name } },
    });
    await refused(made, "INVALID_ARGUMENT", user.split(":").at(-1) ?? "");
  }
  for (const value of [-1n, 2n ** 32n, 2n ** 31n, 2n ** 63n - 1n]) {
    const securityContext = { runAsUser: { value } };
    const made = bench.created(sandbox, { container: { linux: { securityContext } } });
    await refused(made, "INVALID_ARGUMENT", "run_as_user");
  }
});

test("a working directory cannot lead out through a descriptor (CVE-2024-21626)", async (bench) => {
  const sandbox = await bench.sandbox();
  const tried = [
    ...Array.from({ length: 12 }, (_, descriptor) => ({
      workingDir: `/proc/self/fd/${descriptor}`,
    })),
    { workingDir: "/proc/1/fd/7" },
    { workingDir: "/proc/thread-self/fd/7" },
    { workingDir: "/proc/self/task/1/fd/7" },
    { workingDir: "/dev/fd/7" },
    { image: { image: bench.image("told-too-much") } },
    { image: { image: bench.image("folder-link") }, workingDir: "/way-out/7" },
    { image: { image: bench.image("folder-link") }, workingDir: "/nowhere/7" },
  ];
  for (const container of tried) {
    await refused(bench.created(sandbox, { container }), "INVALID_ARGUMENT", "working_dir");
  }
});

test("a container has its three streams and no other descriptor", async (bench) => {
  const container = await bench.pod();
  assert.equal(await container.sh("ls /proc/1/fd | sort -n | tr '\\n' ' '"), "0 1 2 ");
  const { stdout } = await bench.runtime.execSync({
    containerId: container.id,
    cmd: ["/bin/busybox", "ls", "/proc/self/fd"],
  });
  const own = new TextDecoder().decode(stdout).trim().split(/\s+/);
  assert.deepEqual(own, ["0", "1", "2", "3"], "the last is the directory that it lists");
});

test("nothing listens on an abstract socket, which a pod on the host's network could reach (CVE-2020-15257)", async (bench) => {
  const container = await bench.pod();
  const { pid } = await container.info();
  const monitor = Number(
    /^PPid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1],
  );
  const abstract = new Set(
    Deno.readTextFileSync("/proc/net/unix").split("\n")
      .map((line) => line.trim().split(/\s+/)).filter((fields) => fields[7]?.startsWith("@"))
      .map((fields) => fields[6]),
  );
  for (const process of [bench.server.pid, monitor]) {
    for (const { name } of Deno.readDirSync(`/proc/${process}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${process}/fd/${name}`))?.[1];
      assert.ok(inode === undefined || !abstract.has(inode), `process ${process}`);
    }
  }
});

function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

test("local users look into none of the server's directories (CVE-2024-25621)", async (bench) => {
  const { node } = bench;
  await bench.pod();
  Deno.chmodSync(node.directory, 0o755);
  try {
    for (
      const path of [
        node.root,
        node.runRoot,
        node.socket.slice(0, node.socket.lastIndexOf("/")),
        `${node.root}/layers`,
        `${node.runRoot}/pods`,
        `${node.runRoot}/containers`,
      ]
    ) {
      const { success } = await new Deno.Command("setpriv", {
        args: ["--reuid=65534", "--regid=65534", "--clear-groups", "ls", path],
        stdout: "null",
        stderr: "null",
      }).output();
      assert.ok(!success, `nobody can list ${path}`);
      assert.ok(Deno.statSync(path).isDirectory);
    }
  } finally {
    Deno.chmodSync(node.directory, 0o700);
  }
});

test("directories that were opened to others are closed again by the next start", async (bench) => {
  const { node } = bench;
  await bench.restart("stop", {
    meanwhile: () => {
      Deno.chmodSync(node.root, 0o755);
      Deno.chmodSync(node.runRoot, 0o711);
      return Promise.resolve();
    },
  });
  for (const path of [node.root, node.runRoot]) {
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o700, path);
  }
});

test("what an image or a pod calls itself is no instruction to the runtime (CVE-2024-3154, CVE-2026-53488)", async (bench) => {
  const container = await bench.pod({
    image: "told-too-much",
    pod: { annotations: { "org.systemd.property.ExecStopPost": "'/bin/touch'" } },
    container: {
      workingDir: "/",
      annotations: {
        "org.systemd.property.CollectMode": "'inactive'",
        "io.kubernetes.cri-o.TTY": "true",
        "run.oci.keep_original_groups": "1",
      },
    },
  });
  const { runtimeSpec } = await container.info();
  const annotations = runtimeSpec["annotations"] as Record<string, string>;
  const forwarded = Object.keys(annotations).filter((key) => !key.startsWith("io."));
  assert.deepEqual(forwarded, [], "default deny");
  assert.equal(annotations["io.kubernetes.cri-o.TTY"], "false");
  assert.ok(!Object.hasOwn(annotations, "io.kubernetes.cri-o.userns-mode"));
});

test("a volume that the image declares makes nothing on the host (CVE-2022-23648)", async (bench) => {
  const container = await bench.pod({ image: "told-too-much", container: { workingDir: "/" } });
  assert.equal(
    await container.sh(`ls -d /data/volume ${CANARY}/volume`),
    [
      "/data/volume",
      `${CANARY}/volume`,
    ].join("\n"),
  );
  const sandbox = await bench.sandbox();
  for (const name of Object.keys(VOLUME_LINKS)) {
    const made = bench.created(sandbox, { image: `volume-${name}` });
    await refused(made, "INVALID_ARGUMENT", "image.volumes");
  }
  assert.ok(![...Deno.readDirSync(CANARY)].some(({ name }) => name === "volume"));
});

test("paths of a request name what they name: no dots, no line breaks, nothing relative", async (bench) => {
  const sandbox = await bench.sandbox();
  const wrong: [object, string][] = [
    [{ workingDir: "relative" }, "config.working_dir"],
    [{ workingDir: "/a/../../b" }, "config.working_dir"],
    [{ mounts: [{ hostPath: "relative", containerPath: "/x" }] }, "config.mounts[0].host_path"],
    [{ mounts: [{ hostPath: "/tmp", containerPath: "x" }] }, "config.mounts[0].container_path"],
    [
      { mounts: [{ hostPath: "/tmp/../etc", containerPath: "/x" }] },
      "config.mounts[0].host_path",
    ],
    [{ metadata: { name: "../x" } }, "config.metadata.name"],
    [{ metadata: { name: "x\ny" } }, "config.metadata.name"],
    [{ envs: [{ key: "A=B", value: bytes("c") }] }, "config.envs[0].key"],
    [{ envs: [{ key: "A", value: bytes("b\0c") }] }, "config.envs[0].value"],
    [{ command: ["/bin/sh\0-c"] }, "config.command[0]"],
  ];
  for (const [container, field] of wrong) {
    await refused(bench.created(sandbox, { container }), "INVALID_ARGUMENT", field);
  }
  assert.deepEqual((await bench.runtime.listContainers({})).containers, []);
});
