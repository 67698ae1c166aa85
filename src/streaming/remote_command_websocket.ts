/** Exec and attach over WebSocket. @module */
import { encodeStatus } from "./command_status.ts";
import { switchingBytes } from "./http_head.ts";
import { type RemoteCommand, runRemoteCommand } from "./remote_command.ts";
import type { Session } from "./session.ts";
import { Channels } from "./websocket/channels.ts";
import { CloseCode } from "./websocket/frames.ts";
import { negotiateWebSocket } from "./websocket/handshake.ts";
import { WebSocket } from "./websocket/web_socket.ts";

/** As Kubernetes' own server offers them, and version 5 beside them. */
const PROTOCOLS = [
  "",
  "channel.k8s.io",
  "base64.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "v5.channel.k8s.io",
] as const;

const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Serves to the end of the session. @throws {RefusedRequest} nothing was begun */
export async function serveRemoteCommandByWebSocket(
  command: RemoteCommand,
  session: Session,
): Promise<void> {
  const { connection, cut } = session;
  const { wanted } = command;
  const { protocol, headers } = negotiateWebSocket(session.head, PROTOCOLS);
  await connection.write(switchingBytes(headers));
  const webSocket = new WebSocket(connection);
  const channels = new Channels(webSocket, {
    inputs: Number(wanted.stdin) + Number(wanted.terminal),
    base64: protocol.includes("base64"),
    closable: protocol === "v5.channel.k8s.io",
    onActivity: session.onActivity,
  });
  const output = (channel: number, isWanted: boolean) =>
    isWanted ? channels.output(channel) : undefined;
  const error = channels.output(Channel.error);
  const remote = {
    stdin: wanted.stdin ? channels.input(Channel.stdin) : undefined,
    stdout: output(Channel.stdout, wanted.stdout),
    stderr: output(Channel.stderr, wanted.stderr),
    resize: wanted.terminal ? channels.input(Channel.resize) : undefined,
    signal: webSocket.signal,
  };
  const running = channels.run();
  // Clients wait for a first message as a sign that the session stands.
  await (remote.stdout ?? remote.stderr ?? error).write(new Uint8Array(0));
  await runRemoteCommand(command, {
    ...remote,
    writeStatus: async (status) => {
      const bytes = encodeStatus(status, protocol.startsWith("v"));
      if (bytes !== undefined) await error.write(bytes);
    },
  }, session);
  await webSocket.close(cut.aborted ? CloseCode.goingAway : CloseCode.normal);
  await running;
}
