import { allKeys, loadConfiguration, type LoadOptions, localNode } from "../../config/mod.ts";
import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import type { Command, Invocation, OptionSpec, OptionTable } from "../command.ts";

const SHORT: Readonly<Record<string, string>> = {
  "config": "c",
  "config-dir": "d",
  "log-level": "l",
  "root": "r",
  "storage-driver": "s",
};

function keyOptions(): OptionTable {
  return Object.fromEntries(
    allKeys().flatMap(({ key }) =>
      (key.flags ?? []).map((name): [string, OptionSpec] => [name, {
        type: key.type === "boolean" ? "boolean" : "string",
        ...(key.type === "strings" ? { multiple: true } : {}),
        ...(SHORT[name] === undefined ? {} : { short: SHORT[name] }),
        ...(key.type === "boolean" ? {} : { value: key.type.toUpperCase() }),
        summary: key.meaning.replace(/\.$/, ""),
        hidden: key.standing !== "effective",
        configures: true,
      }])
    ),
  );
}

/** Where the configuration is read from: of every command that reads it. */
export const CONFIG_OPTIONS: OptionTable = {
  "config": {
    type: "string",
    short: "c",
    value: "FILE",
    summary: "configuration, ours or a crio.conf (CONTAINER_CONFIG)",
  },
  "config-dir": {
    type: "string",
    short: "d",
    value: "DIR",
    summary: "drop-ins (CONTAINER_CONFIG_DIR); the folder beside the file without it",
  },
};

export const CONFIGURATION_OPTIONS: OptionTable = {
  ...CONFIG_OPTIONS,
  ...keyOptions(),
  "runtimes": {
    type: "string",
    multiple: true,
    value: "NAME:PATH:ROOT[...]",
    summary: "runtime handlers (CONTAINER_RUNTIMES)",
  },
};

type Environment = Readonly<Record<string, string | undefined>>;

/** How the configuration is loaded for a command with {@link CONFIGURATION_OPTIONS}. */
export function loadOptionsOf(invocation: Invocation, env: Environment): LoadOptions {
  const flags = new Map<string, readonly string[]>();
  for (const [name, { type }] of Object.entries(CONFIGURATION_OPTIONS)) {
    if (name === "config" || name === "config-dir") continue;
    const texts = invocation.texts(name);
    if (texts.length > 0) flags.set(name, texts);
    else if (type === "boolean" && invocation.flag(name)) flags.set(name, ["true"]);
    else if (type === "boolean" && invocation.text(name) === "false") flags.set(name, ["false"]);
  }
  const configPath = invocation.text("config") ?? env.CONTAINER_CONFIG;
  const configDir = invocation.text("config-dir") ?? env.CONTAINER_CONFIG_DIR;
  return {
    ...(configPath === undefined ? {} : { configPath }),
    ...(configDir === undefined ? {} : { configDir }),
    flags,
    env,
    node: localNode(env.PATH),
  };
}

/** `sauropod serve`, and what `sauropod` alone does. */
export const serve: Command = {
  name: "serve",
  usage: "[OPTIONS]",
  summary: "run the server (the default command)",
  options: {
    ...CONFIGURATION_OPTIONS,
    "log": { type: "string", value: "FILE", summary: "log file instead of standard error" },
    "log-format": { type: "string", value: "FORMAT", summary: "text or json" },
    "registries-conf": { type: "string", value: "FILE", summary: "registries.conf to use" },
    "registries-conf-dir": { type: "string", value: "DIR", summary: "its drop-ins" },
    "fault-gates": { type: "string", hidden: true, summary: "stops at steps, for tests" },
  },
  positionals: [0, 0],
  async run(invocation, context) {
    const { env } = context;
    const logFormat = invocation.text("log-format") ?? env.CONTAINER_LOG_FORMAT ?? "text";
    if (logFormat !== "text" && logFormat !== "json") {
      throw new InvalidArgumentError(`Cannot log in the format ${shown(logFormat)}`, {
        field: "log-format",
        value: logFormat,
        remedy: "give text or json",
      });
    }
    const load = () => loadConfiguration(loadOptionsOf(invocation, env));
    return await context.serve({
      loaded: await load(),
      reload: load,
      logFile: invocation.text("log") ?? env.CONTAINER_LOG,
      logFormat,
      registriesConf: invocation.text("registries-conf") ?? env.CONTAINER_REGISTRIES_CONF,
      registriesConfDir: invocation.text("registries-conf-dir") ??
        env.CONTAINER_REGISTRIES_CONF_DIR,
      faultGates: invocation.text("fault-gates"),
    });
  },
};
