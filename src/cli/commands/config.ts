import {
  convertConfiguration,
  defaultConfiguration,
  loadConfiguration,
  type Notice,
  printConfiguration,
} from "../../config/mod.ts";
import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import { type Command, type CommandContext, type Invocation, OUTPUT_OPTION } from "../command.ts";
import { outputFormat, printStructured } from "../table.ts";
import { CONFIGURATION_OPTIONS, loadOptionsOf } from "./serve.ts";

/** `sauropod config`: prints the documented file; `config check FILE` judges one. */
export const config: Command = {
  name: "config",
  usage: "[check [FILE] | convert FILE] [OPTIONS]",
  summary: "print the configuration as a documented file, check or convert one",
  description: "config check prints what is wrong with a file or not in effect, and exits with 1 " +
    "if the server would not start with it. config convert writes the new file to standard output " +
    "and what cannot be kept, with the reason, to standard error; it exits with 1 if something of it " +
    "would stop the start.",
  options: {
    ...CONFIGURATION_OPTIONS,
    default: { type: "boolean", summary: "print what applies when nothing is configured" },
    ...OUTPUT_OPTION,
  },
  verbs: [
    { name: "check", summary: "judge a file, or the configured ones" },
    {
      name: "convert",
      summary: "print a crio.conf and its drop-ins as a sauropod.toml, and what cannot be kept",
    },
  ],
  arguments: "file",
  positionals: [0, 2],
  async run(invocation, context) {
    const [verb, file] = invocation.positionals;
    if (verb === "check") return await check(file, invocation, context);
    if (verb === "convert") return await convert(file, invocation, context);
    if (verb !== undefined) {
      throw new InvalidArgumentError(`Cannot ${shown(verb)} a configuration`, {
        remedy: "use sauropod config, config check FILE or config convert CRIO.CONF",
      });
    }
    const { terminal, env } = context;
    if (invocation.flag("default")) {
      terminal.out(printConfiguration(defaultConfiguration(), { flavour: "sauropod" }));
      return 0;
    }
    const loaded = await loadConfiguration(loadOptionsOf(invocation, env));
    terminal.out(printConfiguration(loaded.configuration, { flavour: loaded.flavour }));
    const errors = loaded.notices.filter(({ level }) => level === "error");
    terminal.error(errors.map((notice) => `error: ${notice.message}\n`).join(""));
    return errors.length === 0 ? 0 : 1;
  },
};

async function check(
  file: string | undefined,
  invocation: Invocation,
  { terminal, env }: CommandContext,
): Promise<number> {
  const options = loadOptionsOf(invocation, env);
  const loaded = await loadConfiguration(
    file === undefined ? options : { ...options, configPath: file },
  );
  const { notices, files } = loaded;
  const value = { files, flavour: loaded.flavour, notices };
  if (!printStructured(terminal, outputFormat(invocation), value)) {
    terminal.out(notices.map(line).join(""));
    const counted = (level: Notice["level"]) => {
      const count = notices.filter((notice) => notice.level === level).length;
      return `${count} ${level}${count === 1 ? "" : "s"}`;
    };
    terminal.out(
      `${files.length === 0 ? "defaults" : files.join(", ")}: ${counted("error")}, ` +
        `${counted("warning")}\n`,
    );
  }
  return notices.some(({ level }) => level === "error") ? 1 : 0;
}

async function convert(
  file: string | undefined,
  invocation: Invocation,
  { terminal }: CommandContext,
): Promise<number> {
  if (file === undefined) {
    throw new InvalidArgumentError("Cannot convert nothing", {
      remedy: "name the file: sauropod config convert /etc/crio/crio.conf",
    });
  }
  const configDir = invocation.text("config-dir");
  const { text, remarks } = await convertConfiguration({
    configPath: file,
    ...(configDir === undefined ? {} : { configDir }),
  });
  terminal.out(text);
  for (const { kind, message } of remarks) {
    const colour = kind === "stops the start" ? "red" : "yellow";
    terminal.error(`${terminal.paint.error(colour, `${kind}:`)} ${message}\n`);
  }
  return remarks.some(({ kind }) => kind === "stops the start") ? 1 : 0;
}

function line({ level, message }: Notice): string {
  return `${level}: ${message}\n`;
}
