/**
 * The head of an HTTP/1.1 request that asks for another protocol, and the answers to it. A small
 * and strict reader: such a request has no body and is the only one of its connection.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import { HEAD_LIMIT_BYTES, HEADERS_LIMIT } from "./limits.ts";

export interface RequestHead {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Values by lower-case name, in the order in which they came. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
}

/** An answer that ends the connection. */
export interface Refusal {
  readonly status: RefusalStatus;
  /** A sentence for the reader. */
  readonly text: string;
  readonly headers?: readonly (readonly [string, string])[];
}

const REASONS = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
} as const;
type RefusalStatus = keyof typeof REASONS;

/** The request cannot be served: what the client gets to read. */
export class RefusedRequest extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.text);
    this.name = "RefusedRequest";
    this.refusal = refusal;
  }
}

/**
 * Reads a head and leaves the connection at the byte behind it.
 *
 * @returns undefined if the client closed before it had sent anything
 * @throws {RefusedRequest} it is no such request, or too large
 * @throws {UnavailableError} the client is gone
 */
export async function readHead(connection: Connection): Promise<RequestHead | undefined> {
  let head = new Uint8Array(0);
  while (true) {
    const chunk = await connection.read();
    if (chunk === undefined) {
      if (head.length === 0) return undefined;
      throw refused(400, "The request ends within its head");
    }
    const searched = Math.max(0, head.length - 3);
    const joined = new Uint8Array(head.length + chunk.length);
    joined.set(head);
    joined.set(chunk, head.length);
    const end = endOfHead(joined, searched);
    if (end === undefined ? joined.length > HEAD_LIMIT_BYTES : end > HEAD_LIMIT_BYTES) {
      throw refused(431, `The head of the request is longer than ${HEAD_LIMIT_BYTES} bytes`);
    }
    if (end !== undefined) {
      connection.unread(joined.subarray(end));
      return parseHead(joined.subarray(0, end - 4));
    }
    head = joined;
  }
}

/** Behind the first empty line. */
function endOfHead(bytes: Uint8Array, from: number): number | undefined {
  for (let at = bytes.indexOf(0x0d, from); at >= 0; at = bytes.indexOf(0x0d, at + 1)) {
    if (bytes[at + 1] === 0x0a && bytes[at + 2] === 0x0d && bytes[at + 3] === 0x0a) return at + 4;
  }
  return undefined;
}

// RFC 9110, sections 5.1 and 5.5: a token; visible characters with blanks between them.
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^([A-Z]{1,16}) (\/[\x21-\x7e]*) (HTTP\/\d\.\d)$/;

/** @param bytes without the empty line at the end @throws {RefusedRequest} it is not a valid head */
export function parseHead(bytes: Uint8Array): RequestHead {
  const [first = "", ...lines] = new TextDecoder("latin1").decode(bytes).split("\r\n");
  const request = REQUEST_LINE.exec(first);
  if (request === null) throw refused(400, "The first line is not that of an HTTP request");
  const [, method = "", target = "", version] = request;
  if (version !== "HTTP/1.1") throw refused(505, "Only HTTP/1.1 is spoken here");
  if (lines.length > HEADERS_LIMIT) {
    throw refused(431, `The request has more than ${HEADERS_LIMIT} headers`);
  }
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, "");
    if (!NAME.test(name) || !VALUE.test(value)) {
      throw refused(400, "A line of the request's head is not a header");
    }
    const key = name.toLowerCase();
    headers.set(key, [...headers.get(key) ?? [], value]);
  }
  if (headers.has("transfer-encoding") || (headers.get("content-length") ?? []).some(isNotZero)) {
    throw refused(413, "A request for a stream has no body");
  }
  if (headers.get("host")?.length !== 1) throw refused(400, "The request needs one Host header");
  return { method, path: target.split("?", 1)[0] ?? "", headers };
}

function isNotZero(length: string): boolean {
  return !/^0+$/.test(length);
}

/** All values of a header that is a list, split at its commas. */
export function listHeader(head: RequestHead, name: string): string[] {
  return (head.headers.get(name) ?? [])
    .flatMap((value) => value.split(","))
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** True if the header's list has the word, whatever its case. */
export function hasWord(head: RequestHead, name: string, word: string): boolean {
  return listHeader(head, name).some((item) => item.toLowerCase() === word);
}

export function refused(
  status: RefusalStatus,
  text: string,
  headers: readonly (readonly [string, string])[] = [],
): RefusedRequest {
  return new RefusedRequest({ status, text, headers });
}

/** The bytes of an answer after which the connection ends. */
export function refusalBytes({ status, text, headers = [] }: Refusal): Uint8Array {
  const body = new TextEncoder().encode(`${text}\n`);
  const lines = [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    "Content-Type: text/plain; charset=utf-8",
    "X-Content-Type-Options: nosniff",
    ...headers.map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  const head = new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

/** The answer from which on the connection speaks another protocol. */
export function switchingBytes(headers: readonly (readonly [string, string])[]): Uint8Array {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return new TextEncoder().encode(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`);
}
