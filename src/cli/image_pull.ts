/** Pulling an image with its progress on standard error. @module */
import { FailedPreconditionError, UnavailableError } from "../errors/mod.ts";
import { serverMessage } from "./failure.ts";
import type { CriClient } from "./client.ts";
import { type LayerReport, PullProgress } from "./pull_progress.ts";
import type { Terminal } from "./terminal.ts";

export interface ImagePull {
  readonly client: CriClient;
  readonly terminal: Terminal;
  readonly image: string;
  readonly quiet?: boolean;
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly signal?: AbortSignal;
}

/** What the server says while it pulls, line by line; the last has `image` or `error`. */
interface PullLine {
  readonly progress?: { readonly layers: readonly LayerReport[] };
  readonly image?: { readonly id: string; readonly repoDigests: readonly string[] };
  readonly error?: string;
}

const PULL_PATH = "/v1/images/pull";

/** @returns the image's id */
export async function pullImage(pull: ImagePull): Promise<string> {
  const { client, image, credentials, signal } = pull;
  using progress = new PullProgress(pull);
  const lines = client.lines({
    method: "POST",
    path: `${PULL_PATH}?${new URLSearchParams({ image })}`,
    ...(credentials === undefined
      ? {}
      : { body: new Blob([JSON.stringify(credentials)]).stream() }),
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const line of lines) {
    const { progress: report, image: pulled, error } = JSON.parse(line) as PullLine;
    if (error !== undefined) throw new FailedPreconditionError(...serverMessage(error));
    if (pulled !== undefined) return pulled.id;
    if (report !== undefined) progress.show(report.layers);
  }
  throw new UnavailableError(`The server ended while it pulled ${image}`, {
    remedy: "pull again: what has arrived is kept",
  });
}
