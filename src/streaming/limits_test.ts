/** docs/cri.md against the limits of the streaming server. */
import assert from "node:assert/strict";
import { FORWARDED_LIMIT } from "../pod/port_forward.ts";
import { EXEC_LIMIT } from "../pod/process_sessions.ts";
import { BEHIND_LIMIT_BYTES } from "../runtime/attach.ts";
import {
  ATTACH_LIMIT,
  CONNECTIONS_LIMIT,
  FORWARDED_CONNECTIONS_LIMIT,
  HEAD_LIMIT_BYTES,
  PENDING_ARGUMENTS_BYTES,
  PENDING_URLS_LIMIT,
  PORT_FORWARD_SESSIONS_LIMIT,
  UNREAD_INPUT_BYTES,
} from "./limits.ts";
import { SESSION_BUFFER_BYTES, STREAM_BUFFER_BYTES, STREAMS_LIMIT } from "./spdy/limits.ts";

const LIMITS: Readonly<Record<string, number>> = {
  "streaming URLs not used yet": PENDING_URLS_LIMIT,
  "arguments of streaming URLs not used yet": PENDING_ARGUMENTS_BYTES,
  "streaming connections": CONNECTIONS_LIMIT,
  "head of a streaming request": HEAD_LIMIT_BYTES,
  "commands": EXEC_LIMIT,
  "attached clients": ATTACH_LIMIT,
  "port-forward sessions": PORT_FORWARD_SESSIONS_LIMIT,
  "forwarded connections": FORWARDED_LIMIT,
  "forwarded connections of one session": FORWARDED_CONNECTIONS_LIMIT,
  "open SPDY streams of one session": STREAMS_LIMIT,
  "unread input of a SPDY session": SESSION_BUFFER_BYTES,
  "unread input of a SPDY stream": STREAM_BUFFER_BYTES,
  "unread input of a WebSocket session": UNREAD_INPUT_BYTES,
  "unread output of an attached client": BEHIND_LIMIT_BYTES,
};

Deno.test("docs/cri.md has the limits of streams as they are", async () => {
  const docs = await Deno.readTextFile(new URL("../../docs/cri.md", import.meta.url));
  const [, section = ""] = /^### Streams\n([^]*?)\n## /m.exec(docs) ?? [];
  const rows = [...section.matchAll(/^\| ([^|]+) \| ([\d,]+) [^|]*\| [^|]+ \|$/gm)];
  const told = Object.fromEntries(
    rows.map(([, name = "", max = ""]) => [name, Number(max.replaceAll(",", ""))]),
  );
  assert.deepEqual(told, LIMITS);
});
