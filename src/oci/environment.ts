/** The environment of a container's process. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { KeyValue } from "../proto/mod.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface EnvironmentSources {
  readonly hostname: string;
  /** True for an entry point that is systemd, which wants to know that it is in a container. */
  readonly systemd: boolean;
  /** `KEY=VALUE`, from the configuration. */
  readonly defaults: readonly string[];
  /** `KEY=VALUE`, from the image: hostile. */
  readonly image: readonly string[];
  readonly request: readonly KeyValue[];
}

/**
 * Merges, later ones replacing earlier ones in place: PATH, TERM and HOSTNAME, configuration, image,
 * request.
 *
 * @throws {InvalidArgumentError} a name is empty or holds `=`, a line break or NUL; a value is not
 *   UTF-8 or holds NUL; HOME could forge a line of /etc/passwd
 */
export function buildEnvironment(sources: EnvironmentSources): string[] {
  const merged = new Map([
    ["PATH", PATH],
    ["TERM", "xterm"],
    ["HOSTNAME", sources.hostname],
  ]);
  if (sources.systemd) merged.set("container", "crio");
  for (
    const [field, entries] of [["default_env", sources.defaults], [
      "image.env",
      sources.image,
    ]] as const
  ) {
    for (const entry of entries) {
      const equals = entry.indexOf("=");
      // Without a value there is nothing to set; images built by hand have such entries.
      if (equals <= 0) continue;
      const name = entry.slice(0, equals);
      const value = entry.slice(equals + 1);
      checkVariable(field, name, value);
      merged.set(name, value);
    }
  }
  for (const { key, value } of sources.request) {
    const text = decodeValue(key, value);
    checkVariable("config.envs", key, text);
    merged.set(key, text);
  }
  return [...merged].map(([name, value]) => `${name}=${value}`);
}

function decodeValue(name: string, value: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch (cause) {
    throw new InvalidArgumentError(
      `Environment variable ${shown(name)} is not UTF-8, which config.json cannot hold`,
      { field: "config.envs", value: name, cause },
    );
  }
}

function checkVariable(field: string, name: string, value: string): void {
  const wrong = name === ""
    ? "has an empty name"
    : /[=\n\r\0]/.test(name)
    ? "has a name with '=', a line break or NUL"
    : value.includes("\0")
    ? "has a value with NUL"
    // Programs and runtimes copy HOME into passwd entries (CVE-2022-4318).
    : name === "HOME" && /[\n\r:]/.test(value)
    ? "has a line break or colon, which could forge an entry of /etc/passwd"
    : undefined;
  if (wrong !== undefined) {
    throw new InvalidArgumentError(`Environment variable ${shown(name)} ${wrong}`, {
      field,
      value: name,
    });
  }
}
