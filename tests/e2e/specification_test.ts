/**
 * What fields of the two configurations and keys of the configuration become, looked at from inside a
 * container: those that no other file shows.
 *
 * @module
 */
import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer } from "../integration/test_images.ts";
import { createLinuxKernel } from "../../src/sys/mod.ts";
import type { TestNode } from "../support/test_node.ts";
import { eventually, onWorkbench, refused } from "../support/workbench.ts";

const test = onWorkbench({
  images: {
    groups: () =>
      busyboxImage({
        layers: [[
          ...busyboxLayer().filter(({ path }) => !["etc/passwd", "etc/group"].includes(path)),
          { path: "etc/passwd", content: "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n" },
          { path: "etc/group", content: "root:x:0:\napp:x:1000:\nstaff:x:50:app,root\n" },
        ]],
        config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"], User: "app" },
      }),
    volumes: () =>
      busyboxImage({
        layers: [[...busyboxLayer(), { path: "data/" }, {
          path: "data/of-the-image",
          content: "x",
        }]],
        config: {
          Cmd: ["/bin/sh"],
          Env: ["PATH=/bin"],
          User: "1000:1000",
          WorkingDir: "/work",
          Volumes: { "/data": {}, "/work": {}, "relative/deep": {}, "/proc": {}, "/": {}, "": {} },
        },
      }),
  },
  prepare: async (node) => {
    // Each lets one system call fail with a number that tells which profile is in force.
    for (const [name, errnoRet] of Object.entries(PROFILES)) {
      const rule = { names: ["sethostname"], action: "SCMP_ACT_ERRNO", errnoRet };
      const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] };
      await Deno.writeTextFile(`${node.directory}/${name}.json`, JSON.stringify(profile));
    }
    await Deno.mkdir(`${node.directory}/secrets/deep`, { recursive: true });
    await Deno.writeTextFile(`${node.directory}/secrets/deep/key`, "of the node\n");
    await Deno.symlink("deep/key", `${node.directory}/secrets/link`);
    await Deno.writeTextFile(
      `${node.directory}/mounts.conf`,
      `# comment\n${node.directory}/secrets:/run/secrets\n/no/such/thing:/x\n` +
        `${node.directory}/secrets/deep/key:/etc/node-key\n`,
    );
    await configure(node, {
      "sauropod.runtime": [
        'timezone = "Asia/Tokyo"',
        'additional_devices = ["/dev/null:/dev/extra:rw"]',
        'allowed_devices = ["/dev/full"]',
        "device_ownership_from_security_context = true",
        `default_mounts_file = "${node.directory}/mounts.conf"`,
        `seccomp_profile = "${node.directory}/common.json"`,
        `privileged_seccomp_profile = "${node.directory}/privileged.json"`,
      ],
      "sauropod.image": ['image_volumes = "bind"'],
      "sauropod.runtime.runtimes.runc": [
        'default_annotations = { "umask.crio.io" = "0013" }',
        `allowed_annotations = ${
          JSON.stringify([
            "umask.crio.io",
            "io.kubernetes.cri-o.umask",
            "io.kubernetes.cri-o.ShmSize",
            "devices.crio.io",
            "unified-cgroup.crio.io",
            "io.kubernetes.cri-o.userns-mode",
          ])
        }`,
      ],
    }, { strict: "runc" });
    const strict = `seccomp_profile = "${node.directory}/handler.json"\n`;
    await Deno.writeTextFile(node.configPath, strict, { append: true });
  },
});

/** ENOENT, EIO, EBUSY and EXDEV, as busybox tells them. */
const PROFILES = { common: 2, handler: 5, privileged: 16, localhost: 18 };

/** Adds lines to tables of the node's configuration, and copies of handlers as they were. */
async function configure(
  node: TestNode,
  lines: Readonly<Record<string, readonly string[]>>,
  copies: Readonly<Record<string, string>> = {},
): Promise<void> {
  let text = await Deno.readTextFile(node.configPath);
  for (const [copy, handler] of Object.entries(copies)) {
    const table = `[sauropod.runtime.runtimes.${handler}]\n`;
    const body = text.slice(text.indexOf(table) + table.length).split("\n\n")[0];
    text += `\n[sauropod.runtime.runtimes.${copy}]\n${body}\n`;
  }
  for (const [table, added] of Object.entries(lines)) {
    assert.ok(text.includes(`[${table}]\n`), table);
    text = text.replace(`[${table}]\n`, `[${table}]\n${added.join("\n")}\n`);
  }
  await Deno.writeTextFile(node.configPath, text);
}

/** A directory of the host, for the length of a test. */
function hostDirectory(): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "sauropod-host-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

test("an ambient capability reaches a program that is not root's, and no other does", async (bench) => {
  const capabilities = {
    dropCapabilities: ["ALL", "KILL"],
    addAmbientCapabilities: ["NET_BIND_SERVICE", "KILL"],
  };
  const seen = await bench.output("grep ^Cap /proc/self/status", {
    container: { linux: { securityContext: { capabilities, runAsUser: { value: 1000n } } } },
  });
  // NET_BIND_SERVICE is number 10.
  for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
    assert.match(seen, new RegExp(`^Cap${set}:\t0000000000000400$`, "m"), set);
  }
});

test("a mount has the options that the request adds, and Status says that it can", async (bench) => {
  using host = hostDirectory();
  Deno.writeTextFileSync(`${host.path}/run`, "#!/bin/sh\necho run\n", { mode: 0o755 });
  const mount = (containerPath: string, mountOptions: string[]) => ({
    hostPath: host.path,
    containerPath,
    mountOptions,
  });
  const container = await bench.pod({
    container: { mounts: [mount("/plain", []), mount("/kept", ["noexec", "nodev", "nosuid"])] },
  });
  assert.equal(await container.sh("/plain/run"), "run");
  assert.match((await container.exec("/kept/run")).stderr, /Permission denied/);
  assert.match(await container.sh("grep ' /kept ' /proc/mounts"), /nosuid,nodev,noexec/);
  const { features } = await bench.runtime.status({});
  assert.equal(features?.mountOptions, true);
  const sandbox = await bench.sandbox();
  const asked = bench.created(sandbox, { container: { mounts: [mount("/x", ["exec"])] } });
  await refused(asked, "INVALID_ARGUMENT", "config.mounts[0].mount_options[0]", "exec");
});

test("the time zone, the mark of a container and mtab are there, unless the pod mounts over them", async (bench) => {
  using host = hostDirectory();
  const plain = await bench.pod();
  assert.equal(
    await plain.sh("md5sum < /etc/localtime"),
    await md5sum("/usr/share/zoneinfo/Asia/Tokyo"),
  );
  assert.equal(await plain.sh("date -d @0 +%H"), "09");
  assert.equal(await plain.sh("stat -c '%s %F' /run/.containerenv"), "0 regular empty file");
  assert.equal(await plain.sh("readlink /etc/mtab"), "/proc/mounts");
  const mounts = ["/run", "/etc"].map((containerPath) => ({
    hostPath: `${host.path}${containerPath}`,
    containerPath,
  }));
  await bench.pod({
    container: { mounts, linux: { securityContext: { runAsUser: { value: 4321n } } } },
  });
  const made = ["run", "etc"].flatMap((name) =>
    [...Deno.readDirSync(`${host.path}/${name}`)].map((entry) => entry.name)
  );
  for (const name of [".containerenv", "localtime", "passwd", "group", "mtab"]) {
    assert.ok(!made.includes(name), `${name} was made in a folder of the host`);
  }
});

/** As md5sum says it of its standard input. */
async function md5sum(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("md5sum", { args: [path] }).output();
  return new TextDecoder().decode(stdout).replace(/ .*\n$/, "  -");
}

test("host paths are followed through links, and made as a directory where they are missing", async (bench) => {
  using host = hostDirectory();
  Deno.mkdirSync(`${host.path}/real`);
  Deno.writeTextFileSync(`${host.path}/real/file`, "content\n");
  Deno.symlinkSync("real", `${host.path}/link`);
  const seen = await bench.output("cat /dir/file /file; stat -c '%a %F' /made", {
    container: {
      mounts: [
        { hostPath: `${host.path}/link`, containerPath: "/dir" },
        { hostPath: `${host.path}/link/file`, containerPath: "/file", readonly: true },
        { hostPath: `${host.path}/no/such`, containerPath: "/made" },
      ],
    },
  });
  assert.equal(seen, "content\ncontent\n755 directory");
  assert.ok(Deno.statSync(`${host.path}/no/such`).isDirectory);
});

test("with bind_mount_prefix, host paths and their links are below it", async (bench) => {
  using host = hostDirectory();
  Deno.mkdirSync(`${host.path}/real`);
  Deno.writeTextFileSync(`${host.path}/real/file`, "content\n");
  Deno.symlinkSync("/real", `${host.path}/link`);
  const { configPath } = bench.node;
  const before = await Deno.readTextFile(configPath);
  await configure(bench.node, { "sauropod.runtime": [`bind_mount_prefix = "${host.path}"`] });
  await bench.restart("stop");
  try {
    const mounts = [
      { hostPath: "/link", containerPath: "/dir" },
      { hostPath: "/link/made", containerPath: "/made" },
    ];
    const seen = await bench.output("cat /dir/file; touch /made/here", { container: { mounts } });
    assert.equal(seen, "content");
    assert.ok(Deno.statSync(`${host.path}/real/made/here`).isFile);
  } finally {
    await bench.restart("stop", { meanwhile: () => Deno.writeTextFile(configPath, before) });
  }
});

test("a recursively read-only mount is read-only in what is mounted below it, a read-only one is not", async (bench) => {
  using host = hostDirectory();
  const below = `${host.path}/below`;
  Deno.mkdirSync(below);
  await run("mount", "-t", "tmpfs", "none", below);
  using _ = { [Symbol.dispose]: () => createLinuxKernel().umount2(below, 0) };
  const mounts = [false, true].map((recursiveReadOnly) => ({
    hostPath: host.path,
    containerPath: recursiveReadOnly ? "/recursive" : "/flat",
    readonly: true,
    recursiveReadOnly,
  }));
  const container = await bench.pod({ container: { mounts } });
  for (const path of ["/flat/x", "/recursive/x", "/recursive/below/x"]) {
    assert.match((await container.exec(`touch ${path}`)).stderr, /Read-only file system/, path);
  }
  await container.sh("touch /flat/below/x");
  const handlers = (await bench.runtime.status({})).runtimeHandlers;
  assert.ok(handlers.every(({ features }) => features?.recursiveReadOnlyMounts));
});

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** Groups of the process by the request's and the image's users and groups; `app` is 1000:1000, and in `staff`. */
test("groups are the request's, with policy Merge those of the image's group file as well (CVE-2022-2995, CVE-2023-25173)", async (bench) => {
  const [merge, strict] = [0, 1] as const;
  const id = (value: bigint) => ({ value });
  const cases: [object, string][] = [
    [{}, "1000 1000 50 1000"],
    [{ supplementalGroupsPolicy: strict }, "1000 1000 1000"],
    [{ supplementalGroups: [2000n, 50n] }, "1000 1000 50 1000 2000"],
    [{ supplementalGroups: [2000n], supplementalGroupsPolicy: strict }, "1000 1000 1000 2000"],
    [{ runAsUser: id(1000n), runAsGroup: id(3000n) }, "1000 3000 50 3000"],
    [
      { runAsUsername: "app", runAsGroup: id(3000n), supplementalGroupsPolicy: strict },
      "1000 3000 3000",
    ],
    [{ runAsUser: id(0n) }, "0 0 0 50"],
    [{ runAsUser: id(0n), supplementalGroupsPolicy: strict }, "0 0 0"],
    // fsGroup of a pod arrives as one more group.
    [
      { runAsUser: id(7777n), supplementalGroups: [4000n], supplementalGroupsPolicy: merge },
      "7777 0 0 4000",
    ],
    [{ runAsUser: id(7777n), runAsGroup: id(7778n) }, "7777 7778 7778"],
  ];
  const sandbox = await bench.sandbox();
  for (const [index, [securityContext, expected]] of cases.entries()) {
    const container = await bench.created(sandbox, {
      image: "groups",
      script: "sed -n 's/^[UG]id:\t\\([0-9]*\\).*/\\1/p; s/^Groups:\t//p' /proc/self/status",
      container: { metadata: { name: `c${index}` }, linux: { securityContext } },
    });
    await bench.runtime.startContainer({ containerId: container.id });
    const status = await container.ended();
    const text = (await container.log()).map(({ text }) => text.trim()).join(" ");
    assert.equal(text, expected, JSON.stringify(Object.entries(securityContext).map(String)));
    const { uid, gid, supplementalGroups = [] } = status.user?.linux ?? {};
    const told = [...supplementalGroups].sort((a, b) => Number(a - b));
    assert.equal([uid, gid, ...told].join(" "), expected, "the status tells the same");
  }
});

test("volumes of an image are empty folders of the container's own, its user's, and go with it", async (bench) => {
  const { node } = bench;
  const sandbox = await bench.sandbox();
  const parts = (name: string) => ({ image: "volumes", container: { metadata: { name } } });
  const one = await bench.created(sandbox, parts("one"));
  const two = await bench.created(sandbox, {
    ...parts("two"),
    container: {
      metadata: { name: "two" },
      mounts: [{ hostPath: node.logDir, containerPath: "/relative" }],
    },
  });
  for (const { id } of [one, two]) await bench.runtime.startContainer({ containerId: id });
  assert.equal(
    await one.sh("stat -c '%n %u:%g %a' /data /work /relative/deep; ls -A /data; pwd"),
    "/data 1000:1000 755\n/work 1000:1000 755\n/relative/deep 1000:1000 755\n/work",
  );
  await one.sh("echo kept > /data/file; mkdir -p /data/a/b; echo x > /data/a/b/c");
  assert.equal(await two.sh("ls -A /data"), "", "each has its own");
  assert.ok(!(await two.sh("cut -d' ' -f2 /proc/mounts")).includes("/relative/deep"));
  assert.ok(![...Deno.readDirSync(node.logDir)].some(({ name }) => name === "deep"));
  const files = `${node.root}/containers/${one.id}/volumes`;
  assert.equal(Deno.readTextFileSync(`${files}/0/file`), "kept\n");
  await bench.restart("kill");
  assert.equal(await one.sh("cat /data/file"), "kept");
  await bench.runtime.removeContainer({ containerId: one.id });
  assert.throws(() => Deno.statSync(files), Deno.errors.NotFound);
});

const ASKED = {
  "io.kubernetes.cri-o.umask": "0027",
  "io.kubernetes.cri-o.ShmSize": "3Mi",
  "devices.crio.io": "/dev/full:/dev/asked:r",
};

test("what a pod may ask for by annotation it gets, by both generations of names", async (bench) => {
  const script =
    "exec 2>&1; umask; df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2; cd /dev; " +
    "stat -c '%n %t:%T' extra; stat -c '%n %t:%T' asked || true";
  assert.equal(
    await bench.output(script, { pod: { annotations: ASKED } }),
    "0027\n3072\nextra 1:3\nasked 1:7",
  );
  const both = { ...ASKED, "umask.crio.io": "0002" };
  assert.match(await bench.output(script, { pod: { annotations: both } }), /^0002\n/, "new wins");
  // Of the handler's own defaults, and of a handler that allows nothing.
  assert.match(await bench.output(script), /^0013\n65536\nextra 1:3\nstat: /);
  const denied = await bench.output(script, { pod: { annotations: both }, handler: "strict" });
  assert.match(denied, /^0022\n65536\nextra 1:3\nstat: /);
});

test("a name beside an allowed one is no allowed one (CVE-2023-6476)", async (bench) => {
  const annotations = {
    "umask.crio.io.x": "0",
    "umask.crio.io/main": "0",
    "Umask.crio.io": "0",
    "umask": "0",
    "io.kubernetes.cri-o.ShmSize/main": "1Mi",
    "shm-size.crio.io": "1Mi",
    "io.kubernetes.cri-o.Devices": "/dev/full:/dev/asked",
  };
  const container = await bench.pod({
    pod: { annotations },
    container: { annotations },
    script:
      "exec 2>&1; umask; df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2; ls -d /dev/asked",
  });
  await container.ended();
  assert.deepEqual(
    (await container.log()).map(({ text }) => text),
    ["0013", "65536", "ls: /dev/asked: No such file or directory"],
  );
  const { runtimeSpec } = await container.info();
  const forwarded = Object.keys(runtimeSpec["annotations"] as object)
    .filter((key) => Object.hasOwn(annotations, key) && key !== "umask.crio.io/main");
  assert.deepEqual(forwarded, []);
});

test("an annotation that cannot be honoured is refused by name, and nothing is made", async (bench) => {
  const sandbox = (annotations: Record<string, string>) => bench.sandbox({ pod: { annotations } });
  const early: [Record<string, string>, "INVALID_ARGUMENT" | "UNIMPLEMENTED"][] = [
    [{ "io.kubernetes.cri-o.ShmSize": "0" }, "INVALID_ARGUMENT"],
    [{ "io.kubernetes.cri-o.ShmSize": "64MiB,mode=0777" }, "INVALID_ARGUMENT"],
    [{ "io.kubernetes.cri-o.userns-mode": "auto" }, "UNIMPLEMENTED"],
  ];
  for (const [annotations, code] of early) {
    await refused(sandbox(annotations), code, Object.keys(annotations)[0] ?? "");
  }
  const late: [Record<string, string>, "INVALID_ARGUMENT" | "FAILED_PRECONDITION"][] = [
    [{ "umask.crio.io": "0o22" }, "INVALID_ARGUMENT"],
    [{ "umask.crio.io": "00022" }, "INVALID_ARGUMENT"],
    [{ "devices.crio.io": "/dev/mem" }, "INVALID_ARGUMENT"],
    [{ "devices.crio.io": "/dev/full,/dev/../dev/mem:/dev/full" }, "INVALID_ARGUMENT"],
    [{ "devices.crio.io": "/dev/full:/etc/full" }, "INVALID_ARGUMENT"],
    [{ "devices.crio.io": "/dev/full:/dev/../etc/full" }, "INVALID_ARGUMENT"],
    // The node of the tests has cgroup version 1.
    [{ "unified-cgroup.crio.io/main": "memory.high=1" }, "FAILED_PRECONDITION"],
  ];
  for (const [annotations, code] of late) {
    const made = await sandbox(annotations);
    await refused(bench.created(made), code, Object.keys(annotations)[0] ?? "");
  }
  assert.deepEqual((await bench.runtime.listContainers({})).containers, []);
});

test("a device belongs to the user of the security context, as far as it states one", async (bench) => {
  const devices = [{ hostPath: "/dev/full", containerPath: "/dev/mine", permissions: "r" }];
  const seen = await bench.output("stat -c '%u:%g' /dev/mine", {
    container: { devices, linux: { securityContext: { runAsUser: { value: 1000n } } } },
  });
  assert.equal(seen, "1000:0");
});

test("every container has copies of the node's default mounts, and may write to them", async (bench) => {
  using host = hostDirectory();
  const mounts = [
    { hostPath: host.path, containerPath: "/run/secrets/kubernetes.io/serviceaccount" },
  ];
  const one = await bench.pod({ container: { mounts } });
  assert.equal(
    await one.sh(
      "cat /run/secrets/deep/key /run/secrets/link /etc/node-key; ls -d /x 2>&1 || true",
    ),
    "of the node\nof the node\nof the node\nls: /x: No such file or directory",
  );
  await one.sh("echo changed > /run/secrets/deep/key");
  const two = await bench.pod();
  assert.equal(await two.sh("cat /run/secrets/deep/key"), "of the node");
  assert.deepEqual([...Deno.readDirSync(host.path)], []);
});

test("seccomp: the handler's profile, the node's, one by its path, that of the privileged, none", async (bench) => {
  const path = `${bench.node.directory}/localhost.json`;
  const privileged = { privileged: true };
  const cases: [string, object, RegExp, string?][] = [
    ["the node's default", { seccomp: { profileType: 0 } }, /No such file/],
    [
      "the handler's default",
      { seccomp: { profileType: 0 } },
      /(?:I|Input)\/(?:O|output) error/,
      "strict",
    ],
    ["the default by its old name", { seccompProfilePath: "runtime/default" }, /No such file/],
    ["a file", { seccomp: { profileType: 2, localhostRef: path } }, /Invalid cross-device/],
    ["a file by its old name", { seccompProfilePath: `localhost/${path}` }, /Invalid cross-device/],
    ["none", { seccomp: { profileType: 1 } }, /^0$/],
    ["nothing said", {}, /^0$/],
    ["privileged", { ...privileged, seccomp: { profileType: 1 } }, /busy/],
  ];
  for (const [what, context, seen, handler] of cases) {
    const output = await bench.output(
      "hostname same 2>&1 && grep -o 'Seccomp:.*' /proc/self/status | cut -f2 || true",
      {
        pod: { linux: { securityContext: "privileged" in context ? privileged : {} } },
        container: {
          linux: {
            securityContext: {
              ...context,
              capabilities: { addCapabilities: ["SYS_ADMIN"] },
            } as never,
          },
        },
        ...(handler === undefined ? {} : { handler }),
      },
    );
    assert.match(output, seen, `${what}: ${output}`);
  }
  const sandbox = await bench.sandbox();
  for (const [localhostRef, content] of [["gone", undefined], ["bad", "{"]] as const) {
    const file = `${bench.node.directory}/${localhostRef}.json`;
    if (content !== undefined) Deno.writeTextFileSync(file, content);
    const securityContext = { seccomp: { profileType: 2 as const, localhostRef: file } };
    const made = bench.created(sandbox, { container: { linux: { securityContext } } });
    await refused(made, "FAILED_PRECONDITION", file);
  }
});

test("the kubelet's termination message: a file of the host, else the tail of the log", async (bench) => {
  using host = hostDirectory();
  const hostPath = `${host.path}/message`;
  // As the kubelet makes it: anybody may write.
  Deno.writeTextFileSync(hostPath, "");
  Deno.chmodSync(hostPath, 0o666);
  const container = await bench.pod({
    script: "echo first; echo said >&2; printf 'out of cheese' > /dev/termination-log; exit 3",
    container: {
      mounts: [{ hostPath, containerPath: "/dev/termination-log" }],
      annotations: { "io.kubernetes.container.terminationMessagePath": "/dev/termination-log" },
      linux: { securityContext: { runAsUser: { value: 1000n }, readonlyRootfs: true } },
    },
  });
  const status = await container.ended();
  assert.equal(status.exitCode, 3);
  assert.equal(
    status.annotations["io.kubernetes.container.terminationMessagePath"],
    "/dev/termination-log",
  );
  const mounted = status.mounts.find((mount) => mount.containerPath === "/dev/termination-log");
  assert.equal(Deno.readTextFileSync(mounted?.hostPath ?? ""), "out of cheese");
  // FallbackToLogsOnError: at once after the status says that it has ended.
  const lines = await eventually("the log is whole", async () => {
    const log = await container.log();
    return log.length === 2 ? log : undefined;
  });
  assert.deepEqual(lines.map(({ text }) => text).sort(), ["first", "said"]);
});
