/**
 * Builds the kubelet from its Go module, once for each version, outside the checkout.
 *
 * @module
 */

/** The minor version whose CRI this runtime serves. */
const MINOR = "1.37";

/**
 * The executable of the newest kubelet that the Go proxy has; of the newest one built before, where the
 * proxy cannot be reached. The first build takes some minutes.
 */
export async function kubeletBinary(): Promise<string> {
  const cache = `${
    Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`
  }/sauropod-dev`;
  const version = await newestVersion() ?? await newestBuilt(cache);
  if (version === undefined) {
    throw new Error(`The Go proxy names no version ${MINOR} of k8s.io/kubernetes`);
  }
  const binary = `${cache}/kubelet-${version}/kubelet`;
  if (await Deno.stat(binary).then(() => true, () => false)) return binary;
  console.log(`building the kubelet ${version} into ${binary}`);
  const directory = await Deno.makeTempDir({ prefix: "kubelet-build-" });
  try {
    await build(directory, version);
    await Deno.mkdir(`${cache}/kubelet-${version}`, { recursive: true });
    // Two steps, because the cache may be on another file system, and never holds half a file.
    await Deno.copyFile(`${directory}/kubelet`, `${binary}.new`);
    await Deno.rename(`${binary}.new`, binary);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  return binary;
}

async function build(directory: string, version: string): Promise<void> {
  const go = (...args: string[]) => run(directory, "go", ...args);
  const downloaded = await go("mod", "download", "-json", `k8s.io/kubernetes@v${version}`);
  const { GoMod } = JSON.parse(downloaded) as { GoMod: string };
  await Deno.writeTextFile(
    `${directory}/go.mod`,
    moduleFile(await Deno.readTextFile(GoMod), version),
  );
  await go("mod", "tidy");
  const [major, minor] = version.split(".");
  const stamp = Object.entries({
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
  }).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`).join(" ");
  await go(
    "build",
    "-trimpath",
    `-ldflags=-s -w ${stamp}`,
    "-o",
    `${directory}/kubelet`,
    "k8s.io/kubernetes/cmd/kubelet",
  );
}

/**
 * A module that has the kubelet as a tool. Kubernetes' own file points at folders of its repository for the
 * modules that are developed in it; each of them is published as v0 with the same minor and patch version.
 */
export function moduleFile(ofKubernetes: string, version: string): string {
  const published = `v0.${version.slice(version.indexOf(".") + 1)}`;
  const staged = [...ofKubernetes.matchAll(/^\s*(?:replace )?(k8s\.io\/\S+) => \.\/staging\//gm)];
  const go = /^go .*$/m.exec(ofKubernetes)?.[0];
  if (staged.length === 0 || go === undefined) {
    throw new Error("the module file of k8s.io/kubernetes has another form than is known");
  }
  return [
    "module kubelet.test",
    go,
    /^godebug .*$/m.exec(ofKubernetes)?.[0] ?? "",
    "tool k8s.io/kubernetes/cmd/kubelet",
    `require k8s.io/kubernetes v${version}`,
    "replace (",
    ...staged.map(([, name]) => `\t${name} => ${name} ${published}`),
    ")",
    "",
  ].join("\n");
}

async function newestVersion(): Promise<string | undefined> {
  try {
    return newest(
      (await run("/", "go", "list", "-m", "-versions", "k8s.io/kubernetes")).split(/\s+/),
    );
  } catch (error) {
    console.error(`the Go proxy does not answer: ${(error as Error).message}`);
    return undefined;
  }
}

async function newestBuilt(cache: string): Promise<string | undefined> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(cache)) found.push(name.replace("kubelet-", "v"));
  return newest(found);
}

/** Of `v1.37.x` without suffixes; as `1.37.x`. */
export function newest(versions: readonly string[]): string | undefined {
  const prefix = `v${MINOR}.`;
  const patches = versions.filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length)).filter((patch) => /^\d+$/.test(patch)).map(Number);
  return patches.length === 0 ? undefined : `${MINOR}.${Math.max(...patches)}`;
}

async function run(cwd: string, program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const text = new TextDecoder();
  if (!success) {
    throw new Error(`${program} ${args.join(" ")}: ${text.decode(stderr).slice(-2000)}`);
  }
  return text.decode(stdout);
}
