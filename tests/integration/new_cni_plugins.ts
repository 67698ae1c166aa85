/**
 * The CNI plugins v1.9.1, which know CNI 1.1 and come with no Debian package: built from their Go module
 * once, into a cache outside the repository.
 *
 * @module
 */
const VERSION = "v1.9.1";
const MODULE = "github.com/containernetworking/plugins";
const PLUGINS = [
  "main/bridge",
  "main/ptp",
  "main/macvlan",
  "main/host-device",
  "meta/portmap",
  "meta/bandwidth",
  "meta/tuning",
  "meta/firewall",
  "meta/sbr",
  "ipam/host-local",
  "ipam/static",
];

export type NewPlugins =
  | { readonly directory: string }
  /** Why they cannot be had on this machine. */
  | { readonly lacking: string };

export async function newPlugins(): Promise<NewPlugins> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  const directory = `${cache}/sauropod-dev/cni-plugins-${VERSION}`;
  if (await isDirectory(directory)) return { directory };
  const go = await goCommand();
  if (go === undefined) return { lacking: `no Go to build the CNI plugins ${VERSION} with` };
  await Deno.mkdir(`${cache}/sauropod-dev`, { recursive: true });
  const building = await Deno.makeTempDir({
    dir: `${cache}/sauropod-dev`,
    prefix: ".cni-plugins-",
  });
  try {
    const { success, stderr } = await new Deno.Command(go, {
      args: ["install", ...PLUGINS.map((name) => `${MODULE}/plugins/${name}@${VERSION}`)],
      env: { GOBIN: building, CGO_ENABLED: "0", GOFLAGS: "-trimpath" },
    }).output();
    if (!success) {
      const [reason = ""] = new TextDecoder().decode(stderr).trim().split("\n").slice(-1);
      return { lacking: `the CNI plugins ${VERSION} could not be built: ${reason.slice(0, 200)}` };
    }
    await Deno.chmod(building, 0o755);
    await Deno.rename(building, directory);
    return { directory };
  } finally {
    await Deno.remove(building, { recursive: true }).catch(() => {});
  }
}

async function goCommand(): Promise<string | undefined> {
  for (const go of ["go", "/usr/local/go/bin/go"]) {
    try {
      const { success } = await new Deno.Command(go, { args: ["version"], stderr: "null" })
        .output();
      if (success) return go;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

async function isDirectory(path: string): Promise<boolean> {
  return await Deno.stat(path).then((stat) => stat.isDirectory, () => false);
}
