/**
 * A real registry for tests: Debian's docker-registry as a process of its own on a free port of the
 * loopback interface, with its storage in a temporary folder.
 *
 * @module
 */
import { once } from "node:events";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { TestBlob, TestImage, TestIndex } from "./test_images.ts";

export interface RegistryOptions {
  /** Basic authentication; anonymous access without. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Speaks HTTPS with these, in PEM, to clients with a certificate of the CA alone. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly caFile: string };
}

/** What a client of a registry with TLS needs, in PEM. */
export interface ClientTls {
  readonly caCert: string;
  readonly cert: string;
  readonly key: string;
}

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`: the domain of references to it. */
  readonly address: string;
  /** Folder of the registry's storage. */
  readonly storage: string;
  /** Uploads the image (or all of an index) and names it. @returns the manifest's digest */
  push(
    repository: string,
    tag: string,
    image: TestImage | TestIndex,
    client?: ClientTls,
  ): Promise<string>;
  putBlob(repository: string, blob: TestBlob): Promise<void>;
  putManifest(repository: string, reference: string, manifest: TestBlob): Promise<void>;
  /** Path of a blob's bytes in the storage, for tests that damage them. */
  blobPath(digest: string): string;
}

/** Starts a registry; it answers when this returns. Disposing ends the process and its folder. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-registry-" });
  try {
    const storage = `${directory}/data`;
    const lines = [
      "version: 0.1",
      "log: { level: info, accesslog: { disabled: true } }",
      `storage: { filesystem: { rootdirectory: ${storage} }, delete: { enabled: true } }`,
      `http: { addr: "127.0.0.1:0", secret: not-secret${await tlsLines(directory, options)} }`,
    ];
    if (options.credentials !== undefined) {
      await writePasswords(`${directory}/htpasswd`, options.credentials);
      lines.push(`auth: { htpasswd: { realm: test, path: ${directory}/htpasswd } }`);
    }
    await Deno.writeTextFile(`${directory}/config.yml`, `${lines.join("\n")}\n`);
    const child = spawn("docker-registry", ["serve", `${directory}/config.yml`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const address = await listeningAddress(child);
    return new RunningRegistry({ address, storage, directory, child, options });
  } catch (error) {
    await Deno.remove(directory, { recursive: true });
    throw error;
  }
}

type Child = ReturnType<typeof spawn>;

function listeningAddress(child: Child): Promise<string> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    // Reading goes on after the address is known: a full pipe would stop the registry.
    createInterface({ input: child.stderr! }).on("line", (line) => {
      if (said.length < 50) said.push(line);
      const found = /listening on (127\.0\.0\.1:\d+)/.exec(line);
      if (found !== null) resolve(found[1]!);
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`docker-registry ended: ${said.join("\n")}`)));
  });
}

async function tlsLines(directory: string, { tls }: RegistryOptions): Promise<string> {
  if (tls === undefined) return "";
  await Deno.writeTextFile(`${directory}/server.crt`, tls.cert);
  await Deno.writeTextFile(`${directory}/server.key`, tls.key);
  return `, tls: { certificate: ${directory}/server.crt, key: ${directory}/server.key, ` +
    `clientcas: [ ${tls.caFile} ] }`;
}

async function writePasswords(
  path: string,
  { username, password }: { readonly username: string; readonly password: string },
): Promise<void> {
  const { success, stdout } = await new Deno.Command("htpasswd", {
    args: ["-nbB", "-C", "4", username, password],
  }).output();
  if (!success) throw new Error("htpasswd failed; is apache2-utils installed?");
  await Deno.writeFile(path, stdout);
}

interface RunningRegistryParts {
  readonly address: string;
  readonly storage: string;
  readonly directory: string;
  readonly child: Child;
  readonly options: RegistryOptions;
}

class RunningRegistry implements TestRegistry {
  readonly address: string;
  readonly storage: string;
  readonly #parts: RunningRegistryParts;
  /** Of the push under way to a registry with TLS. */
  #client: Deno.HttpClient | undefined;

  constructor(parts: RunningRegistryParts) {
    this.address = parts.address;
    this.storage = parts.storage;
    this.#parts = parts;
  }

  async push(
    repository: string,
    tag: string,
    image: TestImage | TestIndex,
    client?: ClientTls,
  ): Promise<string> {
    using http = client === undefined ? undefined : Deno.createHttpClient({
      caCerts: [client.caCert],
      cert: client.cert,
      key: client.key,
    });
    this.#client = http;
    for (const one of "images" in image ? image.images : [image]) {
      await this.putBlob(repository, one.config);
      for (const layer of one.layers) await this.putBlob(repository, layer);
      if ("images" in image) await this.putManifest(repository, one.manifest.digest, one.manifest);
    }
    await this.putManifest(repository, tag, image.manifest);
    return image.manifest.digest;
  }

  async putBlob(repository: string, blob: TestBlob): Promise<void> {
    const start = await this.#call(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
    await start.body?.cancel();
    const location = new URL(start.headers.get("location")!, `${this.#scheme}://${this.address}`);
    location.searchParams.set("digest", blob.digest);
    const done = await this.#call(location.pathname + location.search, {
      method: "PUT",
      body: blob.bytes as Uint8Array<ArrayBuffer>,
      headers: { "content-type": "application/octet-stream" },
    });
    await expectCreated(done, `blob ${blob.digest}`);
  }

  async putManifest(repository: string, reference: string, manifest: TestBlob): Promise<void> {
    const done = await this.#call(`/v2/${repository}/manifests/${reference}`, {
      method: "PUT",
      body: manifest.bytes as Uint8Array<ArrayBuffer>,
      headers: { "content-type": manifest.mediaType },
    });
    await expectCreated(done, `manifest ${reference}`);
  }

  blobPath(digest: string): string {
    const hex = digest.slice(7);
    return `${this.storage}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { child, directory } = this.#parts;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    child.stderr?.destroy();
    await Deno.remove(directory, { recursive: true });
  }

  get #scheme(): string {
    return this.#parts.options.tls === undefined ? "http" : "https";
  }

  #call(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    const credentials = this.#parts.options.credentials;
    if (credentials !== undefined) {
      const text = `${credentials.username}:${credentials.password}`;
      headers.set("authorization", `Basic ${new TextEncoder().encode(text).toBase64()}`);
    }
    return fetch(`${this.#scheme}://${this.address}${path}`, {
      ...init,
      headers,
      ...(this.#client === undefined ? {} : { client: this.#client }),
    });
  }
}

async function expectCreated(response: Response, what: string): Promise<void> {
  const text = await response.text();
  if (response.status !== 201) {
    throw new Error(`the registry refused ${what}: ${response.status} ${text.slice(0, 500)}`);
  }
}
