/** The configuration for everybody who may ask for the status. @module */
import type { JsonObject } from "../model/mod.ts";
import type { Configuration } from "./configuration.ts";

const ENVIRONMENT = /_env$/;
const HIDDEN = "(hidden)";

/** The same as a configuration, to be printed. */
export function withoutSecrets(configuration: Configuration): Configuration {
  // The view has the same keys and types: values are replaced by texts where they were texts.
  return publicView(configuration) as unknown as Configuration;
}

/**
 * The configuration without what may be secret: of environment variables only the names, as proxies
 * have passwords in their values.
 */
export function publicView(configuration: Configuration): JsonObject {
  return JSON.parse(
    JSON.stringify(
      configuration,
      (key, value: unknown) =>
        ENVIRONMENT.test(key) && Array.isArray(value) ? value.map(nameOnly) : value,
    ),
  );
}

function nameOnly(entry: unknown): string {
  const text = String(entry);
  const at = text.indexOf("=");
  return at < 0 ? text : `${text.slice(0, at)}=${HIDDEN}`;
}
