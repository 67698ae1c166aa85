import assert from "node:assert/strict";
import { request } from "node:http";
import { createServer, type Server } from "node:net";
import { NotFoundError } from "../errors/mod.ts";
import type { ImageRecord, Images, LoadRequest, PullRequest } from "../image/images.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { createHttpServer } from "./http.ts";
import { imageTransferRoutes } from "./image_transfers.ts";

const RECORD = {
  id: "a".repeat(64),
  repoTags: ["docker.io/library/a:1"],
  repoDigests: [],
} as unknown as ImageRecord;

interface Seen {
  pulled?: PullRequest;
  loaded?: LoadRequest;
  archive?: string;
}

function images(seen: Seen): Images {
  return {
    pull(pull: PullRequest) {
      seen.pulled = pull;
      if (pull.reference === "absent") return Promise.reject(new NotFoundError("No such image"));
      pull.onProgress?.({
        layers: [{ digest: "sha256:1" as never, sizeBytes: 10n, state: "fetching" }],
      });
      return Promise.resolve(RECORD);
    },
    async load(load: LoadRequest) {
      seen.loaded = load;
      seen.archive = await Deno.readTextFile(load.path);
      return [RECORD];
    },
  } as unknown as Images;
}

async function withServer(
  body: (socket: string, seen: Seen, spool: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sauropod-http-" });
  const seen: Seen = {};
  const spool = `${dir}/spool`;
  const routes = imageTransferRoutes({ images: images(seen), spoolDirectory: spool });
  const http = createHttpServer(routes, silentLogger);
  const net: Server = createServer((socket) => {
    http.emit("connection", socket);
    socket.resume();
  });
  await new Promise<void>((resolve) => net.listen(`${dir}/s`, resolve));
  try {
    await body(`${dir}/s`, seen, spool);
  } finally {
    await new Promise((resolve) => net.close(resolve));
    await Deno.remove(dir, { recursive: true });
  }
}

function call(
  socketPath: string,
  path: string,
  body: string,
  method = "POST",
): Promise<{ status: number; lines: Record<string, unknown>[]; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host: "localhost", connection: "close" };
    const outgoing = request({ socketPath, path, method, headers }, async (response) => {
      let text = "";
      for await (const chunk of response) text += new TextDecoder().decode(chunk);
      const lines = response.statusCode === 200
        ? text.trim().split("\n").map((line) => JSON.parse(line))
        : [];
      resolve({ status: response.statusCode ?? 0, lines, text });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

Deno.test("a pull over HTTP shows its progress and ends with the image", async () => {
  await withServer(async (socket, seen) => {
    const credentials = JSON.stringify({ username: "u", password: "p" });
    const { lines } = await call(socket, "/v1/images/pull?image=a%3A1", credentials);
    assert.deepEqual(lines.map((line) => Object.keys(line)), [["progress"], ["image"]]);
    assert.equal(seen.pulled?.reference, "a:1");
    assert.deepEqual(seen.pulled?.credentials, { username: "u", password: "p" });
    const failed = await call(socket, "/v1/images/pull?image=absent", "");
    assert.deepEqual(failed.lines, [{ error: "No such image" }]);
  });
});

Deno.test("a load over HTTP takes a path or the archive itself, and keeps none of it", async () => {
  await withServer(async (socket, seen, spool) => {
    const { lines } = await call(socket, "/v1/images/load?reference=x", "bytes of an archive");
    assert.equal((lines[0]?.["image"] as { id: string }).id, RECORD.id);
    assert.equal(seen.archive, "bytes of an archive");
    assert.equal(seen.loaded?.reference, "x");
    assert.deepEqual([...Deno.readDirSync(spool)], []);
    await Deno.writeTextFile(`${spool}/given`, "given");
    await call(socket, `/v1/images/load?path=${spool}/given`, "");
    assert.equal(seen.archive, "given");
    assert.equal(seen.loaded?.path, `${spool}/given`);
  });
});

Deno.test("a transfer that is wrong is refused with its status", async () => {
  await withServer(async (socket) => {
    assert.equal((await call(socket, "/v1/images/pull", "")).status, 400);
    assert.equal((await call(socket, "/v1/images/load?path=relative", "")).status, 400);
    assert.equal((await call(socket, "/v1/images/pull?image=a", "no json")).status, 400);
    assert.equal((await call(socket, "/v1/images/other", "")).status, 405);
    assert.equal((await call(socket, "/v1/images/pull?image=a", "", "GET")).status, 404);
  });
});
