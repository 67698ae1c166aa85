import assert from "node:assert/strict";
import { type LogEntry, parseEntry, readLog } from "./container_log.ts";

const T = "2026-01-02T03:04:05.678901234Z";
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (entry: LogEntry) => new TextDecoder().decode(entry.content);

Deno.test("parseEntry() reads time, stream, tag and content, which may hold spaces or nothing", () => {
  const entry = parseEntry(bytes(`${T} stderr P one  two `));
  assert.deepEqual({ ...entry, content: text(entry!) }, {
    time: T,
    stream: "stderr",
    complete: false,
    content: "one  two ",
  });
  assert.equal(text(parseEntry(bytes(`${T} stdout F `))!), "");
  assert.equal(text(parseEntry(bytes(`${T} stdout F`))!), "");
  assert.equal(parseEntry(bytes(`${T} stdin F x`)), undefined);
  assert.equal(parseEntry(bytes("nonsense")), undefined);
});

async function withLog(content: string, body: (path: string, dir: string) => Promise<void>) {
  const dir = await Deno.makeTempDir({ prefix: "sauropod-log-" });
  try {
    await Deno.writeTextFile(`${dir}/0.log`, content);
    await body(`${dir}/0.log`, dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("readLog() gives the last lines only, with all pieces of each", async () => {
  const long = Array.from({ length: 5_000 }, (_, i) => `${T} stdout F line ${i}\n`).join("");
  const pieces = `${T} stdout P a\n${T} stdout P b\n${T} stdout F c\n${T} stdout F d\n`;
  await withLog(long + pieces, async (path) => {
    const tail = async (count: number) =>
      (await Array.fromAsync(readLog({ path, tail: count }))).map(text);
    assert.deepEqual(await tail(0), []);
    assert.deepEqual(await tail(1), ["d"]);
    assert.deepEqual(await tail(2), ["a", "b", "c", "d"]);
    assert.deepEqual(await tail(3), ["line 4999", "a", "b", "c", "d"]);
    assert.equal((await tail(5_001)).length, 5_003);
    assert.equal((await tail(100_000)).length, 5_004);
  });
});

Deno.test("readLog() follows a rotated file and loses no line", async () => {
  await withLog("", async (path, dir) => {
    let ended = false;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const entry of readLog({ path, until: () => Promise.resolve(ended) })) {
        seen.push(text(entry));
      }
    })();
    const expected: string[] = [];
    for (let round = 0; round < 20; round++) {
      const file = await Deno.open(path, { append: true, create: true });
      for (let line = 0; line < 50; line++) {
        expected.push(`${round}/${line}`);
        await file.write(bytes(`${T} stdout F ${round}/${line}\n`));
      }
      if (round === 19) ended = true;
      file.close();
      // A rotation waits for a reader: this file must have been opened before it is renamed.
      while (seen.length <= expected.length - 50) await new Promise((done) => setTimeout(done, 1));
      if (round < 19) {
        await Deno.rename(path, `${dir}/0.log.${round}`);
        await Deno.writeTextFile(path, "");
      }
    }
    await reading;
    assert.deepEqual(seen, expected);
  });
});

Deno.test("readLog() ends when its signal fires", async () => {
  await withLog(`${T} stdout F one\n`, async (path) => {
    const abort = new AbortController();
    const seen: string[] = [];
    for await (
      const entry of readLog({ path, until: () => Promise.resolve(false), signal: abort.signal })
    ) {
      seen.push(text(entry));
      abort.abort();
    }
    assert.deepEqual(seen, ["one"]);
  });
});
