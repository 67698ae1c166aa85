/**
 * registries.conf, version 2 of its format: where names without a registry are looked for, and which
 * endpoints serve a reference.
 *
 * What is not built here makes the pulls that it concerns fail by name; it is never passed over.
 *
 * @module
 */
import { errorMessage, FailedPreconditionError, shown } from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";
import { type ImageName, isRepositoryPrefix, parseImageName } from "./reference.ts";
import {
  parseRegistriesToml,
  type RegistriesTable,
  wrongRegistriesFile,
} from "./registries_table.ts";

export type ShortNameMode = "enforcing" | "permissive" | "disabled";

export interface Mirror {
  readonly location: string;
  readonly insecure: boolean;
  readonly serves: "all" | "digest-only" | "tag-only";
}

/** One `[[registry]]` entry. */
export interface RegistryEntry {
  /** `quay.io`, `quay.io/team`, `*.example.com`. */
  readonly prefix: string;
  /** What takes the prefix's place; empty leaves the name as it is. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
  /** Keys of the entry that have no effect here. */
  readonly unbuilt: readonly string[];
  /** File that the entry stands in. */
  readonly file: string;
}

export interface RegistriesConf {
  /** Files read, the main one first, for messages. */
  readonly files: readonly string[];
  readonly searchRegistries: readonly string[];
  readonly registries: readonly RegistryEntry[];
  /** Short name to repository. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly shortNameMode: ShortNameMode | undefined;
  /** Where credentials are looked for, in order: names of helper programs, or {@link AUTH_FILES}. */
  readonly credentialHelpers: readonly string[];
  /** Keys for every pull that have no effect here, with their file. */
  readonly unbuilt: readonly string[];
}

/** Where registries.conf is read from; any of it may be absent. */
export interface RegistriesSources {
  /** The first one that is there is read. */
  readonly files: readonly string[];
  /** `*.conf` of each in lexical order, later ones winning. */
  readonly directories: readonly string[];
  /** Aliases that other tools recorded when a user chose; they go before all others. */
  readonly aliasCache?: string;
}

/** What stands for the auth files among the credential helpers. */
export const AUTH_FILES = "containers-auth.json";

export const NO_REGISTRIES_CONF: RegistriesConf = {
  files: [],
  searchRegistries: [],
  registries: [],
  aliases: new Map(),
  shortNameMode: undefined,
  credentialHelpers: [AUTH_FILES],
  unbuilt: [],
};

/** What one file says; undefined is what it does not mention. */
interface ParsedFile extends Omit<RegistriesConf, "searchRegistries" | "credentialHelpers"> {
  readonly searchRegistries: readonly string[] | undefined;
  readonly credentialHelpers: readonly string[] | undefined;
}

/**
 * The places of the other container tools, for the user that this process is.
 *
 * @param home that user's home directory; undefined if there is none
 */
export function defaultRegistriesSources(home: string | undefined): RegistriesSources {
  const own = home === undefined ? [] : [`${home}/.config/containers/registries.conf`];
  return {
    files: [...own, "/etc/containers/registries.conf"],
    directories: [
      "/etc/containers/registries.conf.d",
      ...own.map((path) => `${path}.d`),
    ],
    aliasCache: DEFAULT_ALIAS_CACHE,
  };
}

export const DEFAULT_ALIAS_CACHE = "/var/cache/containers/short-name-aliases.conf";

/**
 * Reads the main file, the drop-ins and the recorded aliases.
 * A later file replaces the search list, the mode, the helpers, and entries and aliases of the same name.
 *
 * @throws {FailedPreconditionError} a file is not readable or wrong; names it and the entry
 */
export async function loadRegistriesConf(sources: RegistriesSources): Promise<RegistriesConf> {
  let conf = NO_REGISTRIES_CONF;
  for (const file of sources.files) {
    const text = await readAdminFile(file, "registries file");
    if (text === undefined) continue;
    conf = merge(conf, parseFile(text, file));
    break;
  }
  for (const directory of sources.directories) {
    for (const file of await dropIns(directory)) {
      const text = await readAdminFile(file, "registries file");
      if (text !== undefined) conf = merge(conf, parseFile(text, file));
    }
  }
  const { aliasCache } = sources;
  if (aliasCache === undefined) return conf;
  const text = await readAdminFile(aliasCache, "file of short-name aliases");
  if (text === undefined) return conf;
  const aliases = parseAliases(parseRegistriesToml(text, aliasCache), aliasCache);
  return {
    ...conf,
    files: [...conf.files, aliasCache],
    aliases: new Map([...conf.aliases, ...aliases]),
  };
}

async function dropIns(directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(directory)) {
      if (!entry.isDirectory && entry.name.endsWith(".conf")) names.push(entry.name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new FailedPreconditionError(
        `Cannot read the folder ${directory}: ${errorMessage(error)}`,
        { path: directory, cause: error },
      );
    }
  }
  return names.sort().map((name) => `${directory}/${name}`);
}

function merge(below: RegistriesConf, above: ParsedFile): RegistriesConf {
  const registries = new Map(below.registries.map((entry) => [entry.prefix, entry]));
  for (const entry of above.registries) registries.set(entry.prefix, entry);
  return {
    files: [...below.files, ...above.files],
    searchRegistries: above.searchRegistries ?? below.searchRegistries,
    registries: [...registries.values()],
    aliases: new Map([...below.aliases, ...above.aliases]),
    shortNameMode: above.shortNameMode ?? below.shortNameMode,
    credentialHelpers: above.credentialHelpers ?? below.credentialHelpers,
    unbuilt: [...below.unbuilt, ...above.unbuilt],
  };
}

/**
 * Parses the text of a file that stands alone.
 *
 * @throws {FailedPreconditionError} not TOML, the old form, or a value of the wrong type or form
 */
export function parseRegistriesConf(text: string, file: string): RegistriesConf {
  return merge(NO_REGISTRIES_CONF, parseFile(text, file));
}

function parseFile(text: string, file: string): ParsedFile {
  const document = parseRegistriesToml(text, file);
  refuseFirstVersion(document, file);
  const searchRegistries = document.has("unqualified-search-registries")
    ? document.strings("unqualified-search-registries")
    : undefined;
  for (const registry of searchRegistries ?? []) {
    if (!isRepositoryPrefix(registry)) {
      throw wrongRegistriesFile(
        file,
        "unqualified-search-registries",
        `${shown(registry)} is not a registry`,
      );
    }
  }
  const mode = document.string("short-name-mode");
  if (mode !== "" && mode !== "enforcing" && mode !== "permissive" && mode !== "disabled") {
    throw wrongRegistriesFile(
      file,
      "short-name-mode",
      `${shown(mode)} is not enforcing, permissive or disabled`,
    );
  }
  const registries = document.tables("registry").map((table) => registryEntry(table, file));
  const seen = new Set<string>();
  for (const { prefix } of registries) {
    if (seen.has(prefix)) {
      throw wrongRegistriesFile(file, "registry", `${shown(prefix)} has two entries`);
    }
    seen.add(prefix);
  }
  const aliases = parseAliases(document, file);
  const credentialHelpers = document.strings("credential-helpers");
  for (const helper of credentialHelpers) {
    if (!isHelperName(helper)) {
      throw wrongRegistriesFile(
        file,
        "credential-helpers",
        `${shown(helper)} is not the name of a helper`,
      );
    }
  }
  // A helper of additional layer stores, of which there are none here: nothing is given to it.
  document.string("additional-layer-store-auth-helper");
  return {
    files: [file],
    searchRegistries,
    registries,
    aliases,
    shortNameMode: mode === "" ? undefined : mode,
    credentialHelpers: credentialHelpers.length === 0 ? undefined : credentialHelpers,
    unbuilt: document.unread().map((key) => `${key} in ${file}`),
  };
}

/** What comes after `docker-credential-` in the name of a program. */
export function isHelperName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name);
}

/** The form of before 2018 has no prefixes, mirrors or locations; most tools have left it. */
function refuseFirstVersion(document: RegistriesTable, file: string): void {
  const old = document.table("registries");
  if (old === undefined) return;
  throw wrongRegistriesFile(
    file,
    "registries",
    "[registries.search], [registries.insecure] and [registries.block] are version 1 of its form",
    'write unqualified-search-registries = ["..."] instead of registries.search, and a table ' +
      '[[registry]] with location = "..." and insecure = true or blocked = true for each of the others',
  );
}

function parseAliases(document: RegistriesTable, file: string): Map<string, string> {
  const aliases = new Map<string, string>();
  const table = document.table("aliases");
  for (const name of table?.keys() ?? []) {
    const target = table!.string(name);
    const short = tryParseName(name);
    if (short?.kind !== "short" || short.path !== name || name.startsWith("localhost/")) {
      throw wrongRegistriesFile(
        file,
        `aliases.${name}`,
        `${shown(name)} is not a short name without a tag`,
      );
    }
    // An empty value takes an alias of an earlier file away.
    if (target === "") {
      aliases.set(name, "");
      continue;
    }
    const parsed = tryParseName(target);
    if (parsed?.kind !== "qualified" || !isRepositoryPrefix(target)) {
      throw wrongRegistriesFile(
        file,
        `aliases.${name}`,
        `${shown(target)} is not a repository with its registry and without a tag`,
      );
    }
    aliases.set(name, parsed.reference.repository);
  }
  return aliases;
}

function tryParseName(text: string): ImageName | undefined {
  try {
    return parseImageName(text);
  } catch {
    return undefined;
  }
}

function registryEntry(table: RegistriesTable, file: string): RegistryEntry {
  const location = table.string("location");
  const prefix = table.string("prefix") || location;
  const wildcard = prefix.startsWith("*.");
  if (prefix === "") {
    throw wrongRegistriesFile(file, "registry", "an entry has neither prefix nor location");
  }
  if (wildcard && /[/:]/.test(prefix)) {
    throw wrongRegistriesFile(
      file,
      "registry",
      `the prefix ${shown(prefix)} has both a wildcard and a path`,
    );
  }
  if (wildcard ? !isRepositoryPrefix(prefix.slice(2)) : !isPlace(prefix)) {
    throw wrongRegistriesFile(
      file,
      "registry",
      `the prefix ${shown(prefix)} is not a host or repository`,
    );
  }
  if (location !== "" && (!isPlace(location) || location.includes("@"))) {
    throw wrongRegistriesFile(
      file,
      "registry",
      `the location ${shown(location)} is not a host or repository`,
    );
  }
  if (table.has("pull-from-mirror")) {
    throw wrongRegistriesFile(
      file,
      "registry",
      "pull-from-mirror belongs into [[registry.mirror]]",
    );
  }
  const digestOnly = table.boolean("mirror-by-digest-only");
  return {
    prefix,
    location,
    insecure: table.boolean("insecure"),
    blocked: table.boolean("blocked"),
    mirrors: table.tables("mirror").map((mirror) => parseMirror(mirror, digestOnly, file)),
    unbuilt: table.unread(),
    file,
  };
}

/** A host, or a repository or namespace below one; a repository may have a tag or digest. */
function isPlace(text: string): boolean {
  return isRepositoryPrefix(text) ||
    (text.includes("/") && tryParseName(text)?.kind === "qualified");
}

function parseMirror(table: RegistriesTable, digestOnly: boolean, file: string): Mirror {
  const location = table.string("location");
  if (!isPlace(location) || location.includes("@")) {
    throw wrongRegistriesFile(
      file,
      "registry.mirror",
      `the location ${shown(location)} is not a host or path`,
    );
  }
  const serves = table.string("pull-from-mirror") || "all";
  if (serves !== "all" && serves !== "digest-only" && serves !== "tag-only") {
    throw wrongRegistriesFile(
      file,
      "pull-from-mirror",
      `${shown(serves)} is not all, digest-only or tag-only`,
    );
  }
  if (digestOnly && serves !== "all") {
    throw wrongRegistriesFile(
      file,
      "pull-from-mirror",
      "it cannot stand beside mirror-by-digest-only = true",
    );
  }
  const unread = table.unread(["location", "pull-from-mirror", "insecure"]);
  if (unread.length > 0) {
    throw wrongRegistriesFile(file, "registry.mirror", `${unread[0]} is not known`);
  }
  return {
    location,
    insecure: table.boolean("insecure"),
    serves: digestOnly ? "digest-only" : serves,
  };
}
