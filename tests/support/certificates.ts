/** Certificates for tests, made by openssl. @module */
import type { StreamingServer, TlsOptions } from "../../src/streaming/mod.ts";

/** A folder with an authority and what it has signed. */
export class Certificates implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(): Promise<Certificates> {
    const made = new Certificates(await Deno.makeTempDir({ prefix: "sauropod-tls-" }));
    await made.authority("ca");
    await made.authority("other-ca");
    await made.sign("server", "ca", "subjectAltName=IP:127.0.0.1");
    await made.sign("client", "ca", "extendedKeyUsage=clientAuth");
    await made.sign("stranger", "other-ca", "extendedKeyUsage=clientAuth");
    return made;
  }

  options(more: Partial<TlsOptions> = {}): TlsOptions {
    return {
      certificatePath: this.path("server.pem"),
      keyPath: this.path("server.key"),
      clientAuthorityPath: "",
      minVersion: "VersionTLS12",
      cipherSuites: [],
      ...more,
    };
  }

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  async authority(name: string): Promise<void> {
    await this.openssl(
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
      "-subj",
      `/CN=${name}`,
      ...["-keyout", `${name}.key`, "-out", `${name}.pem`],
    );
  }

  async sign(name: string, authority: string, extension: string): Promise<void> {
    await Deno.writeTextFile(this.path(`${name}.ext`), extension);
    await this.openssl(
      ..."req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" "),
      ...["-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`],
    );
    await this.openssl(
      ..."x509 -req -days 2 -CAcreateserial".split(" "),
      ...["-in", `${name}.csr`, "-CA", `${authority}.pem`, "-CAkey", `${authority}.key`],
      ...["-extfile", `${name}.ext`, "-out", `${name}.pem`],
    );
  }

  /** @returns everything it says */
  async openssl(...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await new Deno.Command("openssl", {
      args: [...args],
      cwd: this.directory,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  }

  /** The answer to a request over a new connection, or what openssl says of its failure. */
  async ask(server: Pick<StreamingServer, "baseUrl">, ...args: readonly string[]): Promise<string> {
    const { host } = new URL(server.baseUrl);
    const client = new Deno.Command("openssl", {
      args: ["s_client", "-connect", host, "-CAfile", "ca.pem", "-ign_eof", ...args],
      cwd: this.directory,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const input = client.stdin.getWriter();
    // A client that was refused has gone already.
    await input.write(new TextEncoder().encode(`GET /exec/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`))
      .then(() => input.close()).catch(() => {});
    const { stdout, stderr } = await client.output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
  }
}
