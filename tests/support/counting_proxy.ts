/**
 * A registry's front door that counts who comes through it.
 *
 * @module
 */

export interface CountingProxy extends AsyncDisposable {
  /** `127.0.0.1:<port>`. */
  readonly address: string;
  /** Digests of the blobs that were fetched since the last call, in order. */
  takeBlobs(): string[];
}

/** @param upstream `host:port` of the registry, which speaks plain HTTP */
export function startCountingProxy(upstream: string): CountingProxy {
  let blobs: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(pathname)?.[1];
      if (digest !== undefined && request.method === "GET") blobs.push(digest);
      const answer = await fetch(`http://${upstream}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        redirect: "manual",
      });
      return new Response(answer.body, { status: answer.status, headers: answer.headers });
    },
  );
  return {
    address: `127.0.0.1:${server.addr.port}`,
    takeBlobs: () => {
      const taken = blobs;
      blobs = [];
      return taken;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
