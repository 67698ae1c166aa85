import assert from "node:assert/strict";
import { testServer, TestService } from "../../src/streaming/_test_service.ts";
import type { StreamingServer, TlsOptions } from "../../src/streaming/mod.ts";
import { createLinuxKernel, InotifyWatcher } from "../../src/sys/mod.ts";

/** A folder with an authority and what it has signed. */
class Certificates implements AsyncDisposable {
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
  async ask(server: StreamingServer, ...args: readonly string[]): Promise<string> {
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

const SERVED = /HTTP\/1\.1 404 Not Found/;

Deno.test("the streaming server speaks TLS from the version on that is configured", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  assert.match(server.baseUrl, /^https:\/\/127\.0\.0\.1:\d+$/);
  const answer = await certificates.ask(server);
  assert.match(answer, SERVED);
  assert.match(answer, /Verify return code: 0 \(ok\)/);
  assert.match(await certificates.ask(server, "-tls1_2"), SERVED);
  const tls = certificates.options({ minVersion: "VersionTLS13" });
  await using newer = await testServer(new TestService(), { tls });
  assert.match(await certificates.ask(newer), SERVED);
  assert.doesNotMatch(await certificates.ask(newer, "-tls1_2"), /HTTP/);
});

Deno.test("with an authority of clients only its clients are served", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options({ clientAuthorityPath: certificates.path("ca.pem") });
  await using server = await testServer(new TestService(), { tls });
  const as = (name: string) => ["-cert", `${name}.pem`, "-key", `${name}.key`];
  assert.match(await certificates.ask(server, ...as("client")), SERVED);
  assert.doesNotMatch(await certificates.ask(server, ...as("stranger")), /HTTP/);
  assert.doesNotMatch(await certificates.ask(server), /HTTP/);
});

Deno.test("a suite of TLS 1.2 that is not listed ends the connection", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options({ cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] });
  await using server = await testServer(new TestService(), { tls });
  const with12 = (suite: string) => certificates.ask(server, "-tls1_2", "-cipher", suite);
  assert.match(await with12("ECDHE-ECDSA-AES128-GCM-SHA256"), SERVED);
  assert.doesNotMatch(await with12("ECDHE-ECDSA-AES256-GCM-SHA384"), /HTTP/);
});

Deno.test("files that change are taken when they fit, and otherwise not", async () => {
  await using certificates = await Certificates.make();
  using fileWatcher = new InotifyWatcher(createLinuxKernel());
  const told: string[] = [];
  let wake = () => {};
  const tell = (message: string) => (told.push(message), wake());
  const log = { debug() {}, warn() {}, info: tell, error: tell, with: () => log };
  await using server = await testServer(new TestService(), {
    tls: certificates.options(),
    fileWatcher,
    log,
  });
  const hears = async (text: string) => {
    while (!told.some((message) => message.includes(text))) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  };
  await Deno.writeTextFile(certificates.path("server.pem"), "nonsense");
  await hears("keeps its certificates");
  assert.match(await certificates.ask(server), /Verify return code: 0 \(ok\)/);
  // A pair of another authority, which the client does not trust.
  await certificates.sign("next", "other-ca", "subjectAltName=IP:127.0.0.1");
  await Deno.rename(certificates.path("next.key"), certificates.path("server.key"));
  await Deno.rename(certificates.path("next.pem"), certificates.path("server.pem"));
  await hears("uses new certificates");
  assert.match(await certificates.ask(server), /Verify return code: (20|21) /);
});

Deno.test("files of no use stop the start and are named", async () => {
  await using certificates = await Certificates.make();
  const start = (more: Partial<TlsOptions>) =>
    testServer(new TestService(), { tls: certificates.options(more) });
  await assert.rejects(start({ keyPath: "" }), /api\.stream_tls_key is not set/);
  await assert.rejects(
    start({ keyPath: certificates.path("client.key") }),
    /api\.stream_tls_key .*client\.key cannot be used: it is not the certificate's key/,
  );
  await assert.rejects(
    start({ certificatePath: certificates.path("absent.pem") }),
    /api\.stream_tls_cert .*absent\.pem cannot be used/,
  );
  await assert.rejects(
    start({ clientAuthorityPath: certificates.path("server.ext") }),
    /api\.stream_tls_ca .*server\.ext cannot be used/,
  );
  await assert.rejects(
    start({ cipherSuites: ["TLS_RSA_WITH_AES_128_CBC_SHA"] }),
    /api\.tls_cipher_suites names no suite that is spoken here/,
  );
});
