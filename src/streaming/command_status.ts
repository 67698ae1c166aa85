/**
 * What a client learns of the end of its session, in the words of the Kubernetes API.
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";

/** The parts of `meta/v1 Status` that clients of streams read. */
export interface CommandStatus {
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: "NonZeroExitCode" | "InternalError";
  readonly details?: { readonly causes: readonly { reason: "ExitCode"; message: string }[] };
  readonly code?: number;
}

export const SUCCESS: CommandStatus = { status: "Success" };

/** @param exitCode 0 to 255 */
export function exitStatus(exitCode: number): CommandStatus {
  if (exitCode === 0) return SUCCESS;
  return {
    status: "Failure",
    message: `command terminated with non-zero exit code: exit code ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  };
}

/** @param doing `error executing command in container` */
export function failureStatus(doing: string, error: unknown): CommandStatus {
  return {
    status: "Failure",
    message: `Internal error occurred: ${doing}: ${errorMessage(error)}`,
    reason: "InternalError",
    code: 500,
  };
}

/**
 * How the status is written: since version 4 of the protocol as JSON; before, a failure's message
 * alone, and nothing for a success.
 */
export function encodeStatus(status: CommandStatus, asJson: boolean): Uint8Array | undefined {
  if (asJson) return new TextEncoder().encode(JSON.stringify(status));
  return status.message === undefined ? undefined : new TextEncoder().encode(status.message);
}
