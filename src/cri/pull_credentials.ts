/**
 * The credentials of a pull, out of the several ways in which a request may give them.
 *
 * @module
 */
import { InvalidArgumentError } from "../errors/mod.ts";
import { decodeBasic } from "../image/mod.ts";
import type { PullCredentials, PullRequest } from "../image/images.ts";
import type { AuthConfig } from "../proto/mod.ts";
import { validateAuth } from "./validate_references.ts";

/**
 * `username` and `password`, else `auth`, base64 of `user:password`, else `identity_token`, else
 * `registry_token`; with `server_address`, only for that server. Empty if there are none.
 *
 * @throws {InvalidArgumentError} `auth` is not such a text; never says what it holds
 */
export function pullCredentials(
  auth: AuthConfig | undefined,
): Pick<PullRequest, "credentials" | "credentialsServer"> {
  if (auth === undefined) return {};
  validateAuth("auth", auth);
  const credentials = credentialsOf(auth);
  if (credentials === undefined) return {};
  return auth.serverAddress === ""
    ? { credentials }
    : { credentials, credentialsServer: auth.serverAddress };
}

function credentialsOf(auth: AuthConfig): PullCredentials | undefined {
  if (auth.username !== "") return { username: auth.username, password: auth.password };
  if (auth.auth !== "") {
    const credentials = decodeBasic(auth.auth);
    if (credentials !== undefined && credentials.username !== "") return credentials;
    throw new InvalidArgumentError(
      "auth.auth is not base64 of a user name, a colon and a password",
      {
        field: "auth.auth",
        remedy: "give username and password instead",
      },
    );
  }
  if (auth.identityToken !== "") return { identityToken: auth.identityToken };
  return auth.registryToken === "" ? undefined : { registryToken: auth.registryToken };
}
