/**
 * The certificates of the streaming server: read, checked, and read again when they change.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { basename, dirname } from "node:path";
import { errorMessage, FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import type { FileWatcher } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** As the configuration has them. */
export interface TlsOptions {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** Authorities of client certificates; empty if none is asked for. */
  readonly clientAuthorityPath: string;
  readonly minVersion: "VersionTLS12" | "VersionTLS13";
  /** Go's names; empty for all that are spoken. */
  readonly cipherSuites: readonly string[];
}

/** What the files hold, in the form that `node:tls` takes. */
export interface TlsContext {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}

/** Bundles of all public authorities have 300 KiB. */
const FILE_LIMIT_BYTES = 4 * 1024 * 1024;
/** Several files are replaced one after the other; they are read when the last has been. */
const SETTLE_MS = 200;

/**
 * The suites of TLS 1.2 that the TLS library of this program speaks; those of TLS 1.3 cannot be
 * chosen, as in Go.
 */
const SPOKEN_SUITES = [
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
] as const;

/**
 * The suites of TLS 1.2 that a connection may have agreed on.
 *
 * @throws {InvalidArgumentError} none of the list is spoken
 */
export function allowedSuites(listed: readonly string[]): ReadonlySet<string> {
  if (listed.length === 0) return new Set(SPOKEN_SUITES);
  // Go has two names for each of these.
  const full = new Set(listed.map((name) => name.replace(/CHACHA20_POLY1305$/, "$&_SHA256")));
  const allowed = SPOKEN_SUITES.filter((name) => full.has(name));
  if (allowed.length === 0) {
    throw new InvalidArgumentError("api.tls_cipher_suites names no suite that is spoken here", {
      field: "api.tls_cipher_suites",
      value: listed.join(","),
      remedy: `name one or more of ${SPOKEN_SUITES.join(", ")}`,
    });
  }
  return new Set(allowed);
}

/** @throws {FailedPreconditionError} a file cannot be read, or its content is of no use */
export async function readTlsFiles(options: TlsOptions): Promise<TlsContext> {
  const [cert, key, ca] = await Promise.all([
    readPem("api.stream_tls_cert", options.certificatePath),
    readPem("api.stream_tls_key", options.keyPath),
    options.clientAuthorityPath === ""
      ? undefined
      : readPem("api.stream_tls_ca", options.clientAuthorityPath),
  ]);
  const certificate = parsed(
    "api.stream_tls_cert",
    options.certificatePath,
    () => new X509Certificate(cert),
  );
  const privateKey = parsed("api.stream_tls_key", options.keyPath, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw unusable("api.stream_tls_key", options.keyPath, "it is not the certificate's key");
  }
  if (ca !== undefined) {
    parsed("api.stream_tls_ca", options.clientAuthorityPath, () => new X509Certificate(ca));
  }
  return { cert, key, ca };
}

/**
 * Calls back with new files when they have changed and are of use; what is not is logged and left.
 * Disposing ends it.
 */
export function watchTlsFiles(
  options: TlsOptions,
  { watcher, log, onChange }: {
    readonly watcher: FileWatcher;
    readonly log: Logger;
    readonly onChange: (context: TlsContext) => void;
  },
): Disposable {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const reload = async () => {
    try {
      const context = await readTlsFiles(options);
      if (stopped) return;
      onChange(context);
      log.info("The streaming server uses new certificates");
    } catch (error) {
      log.error("The streaming server keeps its certificates: the new ones are of no use", {
        error,
      });
    }
  };
  const paths = [options.certificatePath, options.keyPath, options.clientAuthorityPath]
    .filter((path) => path !== "");
  const names = new Set(paths.map((path) => basename(path)));
  const watches = [...new Set(paths.map((path) => dirname(path)))].map((directory) =>
    watcher.watchDirectory(directory, (event) => {
      // Secrets are replaced in mounted volumes by moving a link whose name is not the file's.
      const concerns = event.kind === "rescan" || names.has(event.name) ||
        event.name.startsWith("..");
      if (!concerns || stopped) return;
      clearTimeout(timer);
      timer = setTimeout(() => void reload(), SETTLE_MS);
    })
  );
  return {
    [Symbol.dispose](): void {
      stopped = true;
      clearTimeout(timer);
      for (const watch of watches) watch[Symbol.dispose]();
    },
  };
}

async function readPem(field: string, path: string): Promise<string> {
  if (path === "") {
    throw new InvalidArgumentError(`${field} is not set, and api.stream_enable_tls needs it`, {
      field,
      remedy: "give the path of a PEM file, or leave api.stream_enable_tls out",
    });
  }
  try {
    const { size, isFile } = await Deno.stat(path);
    if (!isFile) throw new Error("it is not a file");
    if (size > FILE_LIMIT_BYTES) throw new Error(`it is larger than ${FILE_LIMIT_BYTES} bytes`);
    return await Deno.readTextFile(path);
  } catch (error) {
    throw unusable(field, path, errorMessage(error));
  }
}

function parsed<T>(field: string, path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw unusable(field, path, errorMessage(error));
  }
}

function unusable(field: string, path: string, why: string): FailedPreconditionError {
  return new FailedPreconditionError(`${field} ${path} cannot be used: ${why}`, { field, path });
}
