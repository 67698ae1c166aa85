/** A program of a pod for the tests of port-forward: what it does with a connection is the port's matter. */
import { createHash } from "node:crypto";
import { createServer, type Socket } from "node:net";

export const PORTS = {
  echo: 7001,
  digest: 7002,
  source: 7003,
  reset: 7004,
  sixOnly: 7005,
  deaf: 7006,
  closing: 7007,
};

const CHUNK = 1 << 16;

/** Sends back what comes, and its end after the client's. */
function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** Answers the client's end with the digest of what came. */
function digest(socket: Socket): void {
  const hash = createHash("sha256");
  socket.on("data", (bytes) => hash.update(bytes));
  socket.on("end", () => socket.end(hash.digest("hex")));
}

/** Sends as many bytes as the first line says, then its end. */
function source(socket: Socket): void {
  socket.once("data", (line) => {
    let left = Number(line.toString());
    const send = () => {
      while (left > 0) {
        const size = Math.min(left, CHUNK);
        const bytes = new Uint8Array(size).fill(left % 251);
        left -= size;
        if (!socket.write(bytes)) {
          socket.once("drain", send);
          return;
        }
      }
      socket.end();
    };
    send();
  });
}

function reset(socket: Socket): void {
  socket.once("data", () => socket.resetAndDestroy());
}

/** Answers and closes, as a server of HTTP/1.0 does. */
function closing(socket: Socket): void {
  socket.once("data", () => {
    socket.end("bye");
    socket.destroySoon();
  });
}

function deaf(socket: Socket): void {
  socket.pause();
}

if (import.meta.main) {
  const listen = (serve: (socket: Socket) => void, port: number, host = "127.0.0.1") =>
    new Promise<void>((resolve) => {
      const server = createServer(
        { allowHalfOpen: true, pauseOnConnect: serve === deaf },
        (socket) => {
          socket.on("error", () => {});
          serve(socket);
        },
      );
      server.listen(port, host, () => resolve());
    });
  await Promise.all([
    listen(echo, PORTS.echo),
    listen(digest, PORTS.digest),
    listen(source, PORTS.source),
    listen(reset, PORTS.reset),
    listen(echo, PORTS.sixOnly, "::1"),
    listen(deaf, PORTS.deaf),
    listen(closing, PORTS.closing),
  ]);
  console.log("ready");
}
