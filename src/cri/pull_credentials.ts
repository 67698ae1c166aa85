/**
 * The credentials of a pull, out of the several ways in which a request may give them.
 *
 * @module
 */
import { InvalidArgumentError } from "../errors/mod.ts";
import type { PullCredentials } from "../image/images.ts";
import type { AuthConfig } from "../proto/mod.ts";
import { refuseUnsupportedAuth } from "./unsupported_fields.ts";
import { validateAuth } from "./validate_references.ts";

/**
 * `username` and `password`, else `auth`, base64 of `user:password`. Undefined if there are none.
 *
 * @throws {InvalidArgumentError} `auth` is not such a text; never says what it holds
 * @throws {UnimplementedError} only a token is given
 */
export function pullCredentials(auth: AuthConfig | undefined): PullCredentials | undefined {
  if (auth === undefined) return undefined;
  validateAuth("auth", auth);
  refuseUnsupportedAuth("auth", auth);
  if (auth.username !== "") return { username: auth.username, password: auth.password };
  if (auth.auth === "") return undefined;
  const text = decodeBase64(auth.auth);
  const colon = text?.indexOf(":") ?? -1;
  if (text === undefined || colon < 1) {
    throw new InvalidArgumentError(
      "auth.auth is not base64 of a user name, a colon and a password",
      {
        field: "auth.auth",
        remedy: "give username and password instead",
      },
    );
  }
  // Some tools pad the password with NULs to a multiple of three bytes.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

function decodeBase64(text: string): string | undefined {
  try {
    const bytes = Uint8Array.fromBase64(text);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
