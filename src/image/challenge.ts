/**
 * `WWW-Authenticate` as registries write it (RFC 9110 section 11, and the token authentication of
 * the distribution project).
 *
 * @module
 */

export type Challenge =
  | { readonly scheme: "basic" }
  | {
    readonly scheme: "bearer";
    readonly realm: string;
    readonly service: string;
    readonly scope: string;
  };

const MAX_HEADER_CHARACTERS = 8192;

/** The challenges that are understood, in their order; others are left out. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  if (header.length > MAX_HEADER_CHARACTERS) return challenges;
  const token = /\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?=[\s,]|$)/y;
  const parameter = /\s*,?\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
  let at = 0;
  while (at < header.length) {
    token.lastIndex = at;
    const scheme = token.exec(header);
    if (scheme === null) break;
    at = token.lastIndex;
    const parameters = new Map<string, string>();
    for (;;) {
      parameter.lastIndex = at;
      const found = parameter.exec(header);
      if (found === null) break;
      at = parameter.lastIndex;
      const value = found[2] === undefined ? found[3]! : found[2].replaceAll(/\\(.)/g, "$1");
      parameters.set(found[1]!.toLowerCase(), value);
    }
    const challenge = challengeOf(scheme[1]!.toLowerCase(), parameters);
    if (challenge !== undefined) challenges.push(challenge);
  }
  return challenges;
}

function challengeOf(
  scheme: string,
  parameters: ReadonlyMap<string, string>,
): Challenge | undefined {
  switch (scheme) {
    case "basic":
      return { scheme: "basic" };
    case "bearer": {
      const realm = parameters.get("realm");
      return realm === undefined ? undefined : {
        scheme: "bearer",
        realm,
        service: parameters.get("service") ?? "",
        scope: parameters.get("scope") ?? "",
      };
    }
    default:
      return undefined;
  }
}
