import assert from "node:assert/strict";
import { newContainerId } from "../model/mod.ts";
import { createArguments, execArguments, monitorEnvironment } from "./conmon_arguments.ts";
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";

const handler: RuntimeHandler = {
  name: "runc",
  runtimeType: "oci",
  runtimePath: "/usr/sbin/runc",
  runtimeRoot: "/run/runc",
  monitorPath: "/usr/bin/conmon",
  monitorEnv: ["PATH=/opt/bin", "LANG=C=x", "EMPTY"],
  monitorCgroup: "",
  createTimeoutMs: 1000,
  noSyncLog: false,
  runtimeVersion: "1",
  monitorVersion: "2",
  recursiveReadOnlyMounts: false,
  idMappedMounts: false,
  userNamespaces: false,
  warnings: [],
};
const options: RuntimeOptions = {
  defaultHandler: "runc",
  handlers: [handler],
  exitsDir: "/run/exits",
  attachSocketDir: "/run/attach",
  execDir: "/run/exec",
  logLevel: "info",
  logSizeMaxBytes: -1,
  noPivot: false,
  environment: { PATH: "/bin", XDG_RUNTIME_DIR: "/run/user/0" },
};
const place = {
  id: newContainerId(),
  bundle: "/run/b",
  logPath: "/var/log/c.log",
  handler: "runc",
  cgroupPath: "/x/y",
};
const request = { place, name: "k8s_a_b", terminal: false, stdin: false, stdinOnce: false };

Deno.test("createArguments names every file of the contract", () => {
  assert.deepEqual(createArguments(request, handler, options), [
    ...["--bundle", "/run/b", "--cid", place.id, "--cuuid", place.id, "--name", "k8s_a_b"],
    ...["--exit-dir", "/run/exits"],
    ...["--log-path", "k8s-file:/var/log/c.log", "--log-level", "info", "--syslog"],
    ...["--conmon-pidfile", "/run/b/conmon-pidfile", "--container-pidfile", "/run/b/pidfile"],
    ...["--socket-dir-path", "/run/attach"],
    ...["--runtime", "/usr/sbin/runc", "--runtime-arg", "--root=/run/runc"],
  ]);
});

Deno.test("a container in a scope is systemd's for the runtime, in its execs too", () => {
  const inScope = { ...place, cgroupPath: "/system.slice/crio-1.scope" };
  const created = createArguments({ ...request, place: inScope }, handler, options);
  assert.equal(created.at(-1), "--systemd-cgroup");
  const exec = { name: "x", handler, options, processFile: "/p", pidFile: "/f", logLimitBytes: 1 };
  const args = execArguments({ ...exec, place: inScope, subCgroup: "sub" });
  assert.ok(args.includes("--systemd-cgroup"));
  assert.ok(!execArguments({ ...exec, place, subCgroup: "sub" }).includes("--systemd-cgroup"));
});

Deno.test("createArguments turns the flags of stdin and terminal into the monitor's", () => {
  const has = (overrides: Partial<typeof request>, argument: string) =>
    createArguments({ ...request, ...overrides }, handler, options).includes(argument);
  assert.ok(has({ terminal: true, stdin: true }, "--terminal"));
  assert.ok(!has({ terminal: true, stdin: true }, "--stdin"));
  assert.ok(has({ stdin: true }, "--leave-stdin-open"));
  assert.ok(has({ stdin: true, stdinOnce: true }, "--stdin"));
  assert.ok(!has({ stdin: true, stdinOnce: true }, "--leave-stdin-open"));
});

Deno.test("createArguments keeps the attach socket within what a socket's address holds", () => {
  const long = { ...options, attachSocketDir: `/run/${"x".repeat(40)}` };
  const args = createArguments(request, handler, long);
  assert.ok(args.includes("--full-attach"));
  assert.ok(!args.includes("--socket-dir-path"));
});

Deno.test("createArguments passes what the configuration switches on", () => {
  const args = createArguments(request, { ...handler, noSyncLog: true }, {
    ...options,
    noPivot: true,
    logSizeMaxBytes: 8192,
  });
  for (const argument of ["--no-sync-log", "--no-pivot", "8192"]) {
    assert.ok(args.includes(argument));
  }
});

Deno.test("execArguments puts the command into its cgroup and the log into the pipe", () => {
  const args = execArguments({
    place,
    name: "x",
    handler,
    options,
    processFile: "/run/exec/p.json",
    pidFile: "/run/exec/p.pid",
    subCgroup: "freezer:sauropod-exec-1",
    logLimitBytes: 100,
  }).join(" ");
  assert.match(args, /--runtime-opt --cgroup --runtime-opt freezer:sauropod-exec-1/);
  assert.match(args, /k8s-file:\/proc\/self\/fd\/5/);
});

Deno.test("monitorEnvironment hands on the configured, the named and nothing else", () => {
  assert.deepEqual(monitorEnvironment(handler, options), {
    LC_CTYPE: "C.UTF-8",
    PATH: "/opt/bin",
    XDG_RUNTIME_DIR: "/run/user/0",
    LANG: "C=x",
    EMPTY: "",
    CRI_O_EXTERNAL: "1",
    _OCI_SYNCPIPE: "3",
    _OCI_STARTPIPE: "4",
  });
});
