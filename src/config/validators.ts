/**
 * Checks of single configuration values. Each says what is wrong as the end of a sentence that
 * begins with the key, or nothing.
 *
 * @module
 */
import { isCpuList, parseDeviceEntry } from "../model/mod.ts";
import { parseSize } from "./size.ts";
import { parseUlimit } from "./ulimit.ts";

/** The end of a sentence, or nothing if the value is right. */
export type Wrong = string | undefined;

type Check<T> = (value: T) => Wrong;

export const absolute = (path: string): Wrong =>
  path.startsWith("/") && !path.includes("\0") ? undefined : "must be an absolute path";

export const absoluteOrEmpty = (path: string): Wrong => path === "" ? undefined : absolute(path);

/** Passes if every item passes. */
export function each(check: Check<string>): Check<readonly string[]> {
  return (items) => {
    for (const item of items) {
      const wrong = check(item);
      if (wrong !== undefined) return `has the item ${JSON.stringify(item)}, which ${wrong}`;
    }
    return undefined;
  };
}

export function oneOf(...allowed: readonly string[]): Check<string> {
  return (value) =>
    allowed.includes(value)
      ? undefined
      : `must be ${allowed.map((item) => JSON.stringify(item)).join(" or ")}`;
}

export function atLeast(least: number): Check<number> {
  return (value) => value >= least ? undefined : `must be at least ${least}`;
}

export const environmentEntry = (entry: string): Wrong =>
  /^[^=\0]+=[^\0]*$/.test(entry) ? undefined : "must be KEY=VALUE";

/** `net.ipv4.ip_forward=1`; empty entries are skipped by the reader of the list. */
export const sysctl = (entry: string): Wrong =>
  entry === "" || /^[A-Za-z0-9_.\-/]+=[^\s\0]*$/.test(entry)
    ? undefined
    : "must be key=value without spaces";

/** `Europe/Berlin`: a path below the time zone database. */
export const timeZone = (name: string): Wrong =>
  name === "" || /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(name)
    ? undefined
    : "must be the name of a time zone such as Europe/Berlin, or Local";

/** `nofile=1024:2048`; -1 stands for no limit. */
export const ulimit = (entry: string): Wrong => {
  const limit = parseUlimit(entry);
  return typeof limit === "string" ? limit : undefined;
};

/** Capabilities of capabilities(7), Linux 5.9 and later. */
export const CAPABILITIES: ReadonlySet<string> = new Set(
  ("AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE " +
    "DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN " +
    "MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID " +
    "SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE " +
    "SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM").split(" "),
);

export const capability = (name: string): Wrong =>
  CAPABILITIES.has(name.toUpperCase().replace(/^CAP_/, "")) ? undefined : "is not a capability";

export const regularExpression = (pattern: string): Wrong => {
  try {
    new RegExp(pattern);
    return undefined;
  } catch {
    return "must be a regular expression";
  }
};

export const cpuList = (value: string): Wrong =>
  value === "" || isCpuList(value) ? undefined : "must be a CPU list such as 0-3,8";

export const sizeText = (value: string): Wrong =>
  value === "" || parseSize(value) !== undefined ? undefined : "must be a size such as 12MiB";

/** A TCP port as text, or what may be the name of one; which names there are is the node's matter. */
export const portText = (value: string): Wrong =>
  /^\d*$/.test(value) && Number(value) <= 65535 || /^(?=.*[a-z])[a-z0-9][a-z0-9_.+-]*$/i.test(value)
    ? undefined
    : "must be a port number or the name of a service";

export const port = (value: number): Wrong =>
  value >= 0 && value <= 65535 ? undefined : "must be a port number";

/** `source[:destination][:rwm]` with the destination below /dev. */
export const device = (entry: string): Wrong => {
  const parsed = parseDeviceEntry(entry);
  return typeof parsed === "string" ? parsed : undefined;
};

/** Go's names of suites, of all versions of TLS, secure or not; two of them have two names. */
const CIPHER_SUITES = new Set(
  ("TLS_RSA_WITH_RC4_128_SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA TLS_RSA_WITH_AES_128_CBC_SHA " +
    "TLS_RSA_WITH_AES_256_CBC_SHA TLS_RSA_WITH_AES_128_CBC_SHA256 " +
    "TLS_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_256_GCM_SHA384 " +
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA " +
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA TLS_ECDHE_RSA_WITH_RC4_128_SHA " +
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA " +
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 " +
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 " +
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 " +
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 " +
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305 " +
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305 TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 " +
    "TLS_CHACHA20_POLY1305_SHA256").split(" "),
);

export const cipherSuite = (name: string): Wrong =>
  CIPHER_SUITES.has(name) ? undefined : "is not a cipher suite by Go's name";
