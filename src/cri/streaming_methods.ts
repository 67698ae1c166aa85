/**
 * Exec, Attach and PortForward: check what is asked for and answer with a URL of the streaming server.
 *
 * @module
 */
import type { StreamService } from "../pod/mod.ts";
import type { StreamUrls, WantedStreams } from "../streaming/mod.ts";
import { checkEach, checkRange, refuse, required } from "./field_checks.ts";
import { LIMITS } from "./limits.ts";
import type { RuntimeMethods } from "./methods.ts";
import { validateArguments } from "./validate_container.ts";
import { validateId } from "./validate_references.ts";

export interface StreamingOptions {
  /** Says whether a session could be had; the URL's use asks again. */
  readonly service: Pick<StreamService, "checkExec" | "checkAttach" | "checkPortForward">;
  readonly urls: StreamUrls;
}

type StreamingMethod = "exec" | "attach" | "portForward";

export function streamingMethods(
  { service, urls }: StreamingOptions,
): Pick<RuntimeMethods, StreamingMethod> {
  return {
    exec(request) {
      const id = validateId("container_id", request.containerId);
      required("cmd", request.cmd[0]);
      validateArguments("cmd", request.cmd);
      const wanted = wantedStreams(request);
      const container = service.checkExec(id);
      const session = { container, args: request.cmd, terminal: request.tty };
      return { url: urls.exec(session, wanted) };
    },
    attach(request) {
      const id = validateId("container_id", request.containerId);
      const wanted = wantedStreams(request);
      const { container, terminal } = service.checkAttach(id);
      if (request.tty !== terminal) {
        refuse(
          "tty",
          terminal
            ? "is not set, but the container has a terminal"
            : "is set, but the container has no terminal",
          {
            value: String(request.tty),
            remedy: `set tty to ${terminal}, as in the container's configuration`,
          },
        );
      }
      return { url: urls.attach(container, wanted) };
    },
    portForward(request) {
      const id = validateId("pod_sandbox_id", request.podSandboxId);
      validatePorts(request.port);
      return { url: urls.portForward(service.checkPortForward(id), request.port) };
    },
  };
}

/** @throws {InvalidArgumentError} no port of TCP @throws {ResourceExhaustedError} too many */
export function validatePorts(ports: readonly number[]): void {
  checkEach("port", ports, LIMITS.forwardedPorts, (field, port) => {
    checkRange(field, port, { min: 1, max: 65_535 });
  });
}

/** @throws {InvalidArgumentError} no stream, or standard error of a terminal */
function wantedStreams(request: {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}): WantedStreams {
  const { stdin, stdout, stderr, tty: terminal } = request;
  if (terminal && stderr) {
    refuse("stderr", "is set although tty is: a terminal has one output", {
      remedy: "leave out stderr or tty",
    });
  }
  if (!stdin && !stdout && !stderr) {
    refuse("stdin, stdout and stderr", "are all unset", { remedy: "set at least one of them" });
  }
  return { stdin, stdout, stderr, terminal };
}
