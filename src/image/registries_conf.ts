/**
 * registries.conf, version 2 of its format: where names without a registry are looked for, and which
 * endpoints serve a reference.
 *
 * What is not built here makes the pulls that it concerns fail by name; it is never passed over.
 *
 * @module
 */
import { parse as parseToml } from "smol-toml";
import { errorMessage, FailedPreconditionError, shown, UnimplementedError } from "../errors/mod.ts";
import { readAdminFile } from "./bounded_file.ts";
import {
  type ImageName,
  ImageReference,
  isRepositoryPrefix,
  parseImageName,
  qualify,
} from "./reference.ts";

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

/** One place to ask for an image. */
export interface Endpoint {
  /** `host` or `host:port`; Docker's own registry by the name of its API host. */
  readonly host: string;
  readonly repository: string;
  /** Tag or digest to ask for: that of the reference, unless a location names another tag. */
  readonly selected: string;
  /** Certificates are not verified, and plain HTTP is tried when HTTPS does not work. */
  readonly insecure: boolean;
  readonly role: "mirror" | "registry";
  /** The name at this place, for credentials: `quay.io/team/app`. */
  readonly name: string;
}

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
  const aliases = parseAliases(parsedToml(text, aliasCache), aliasCache);
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

function parsedToml(text: string, file: string): Table {
  try {
    return new Table(parseToml(text), "", file);
  } catch (error) {
    if (error instanceof FailedPreconditionError) throw error;
    throw wrong(file, "", errorMessage(error).split("\n")[0] ?? "it is not TOML");
  }
}

function parseFile(text: string, file: string): ParsedFile {
  const document = parsedToml(text, file);
  refuseFirstVersion(document, file);
  const searchRegistries = document.has("unqualified-search-registries")
    ? document.strings("unqualified-search-registries")
    : undefined;
  for (const registry of searchRegistries ?? []) {
    if (!isRepositoryPrefix(registry)) {
      throw wrong(file, "unqualified-search-registries", `${shown(registry)} is not a registry`);
    }
  }
  const mode = document.string("short-name-mode");
  if (mode !== "" && mode !== "enforcing" && mode !== "permissive" && mode !== "disabled") {
    throw wrong(file, "short-name-mode", `${shown(mode)} is not enforcing, permissive or disabled`);
  }
  const registries = document.tables("registry").map((table) => registryEntry(table, file));
  const seen = new Set<string>();
  for (const { prefix } of registries) {
    if (seen.has(prefix)) throw wrong(file, "registry", `${shown(prefix)} has two entries`);
    seen.add(prefix);
  }
  const aliases = parseAliases(document, file);
  const credentialHelpers = document.strings("credential-helpers");
  for (const helper of credentialHelpers) {
    if (!isHelperName(helper)) {
      throw wrong(file, "credential-helpers", `${shown(helper)} is not the name of a helper`);
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
function refuseFirstVersion(document: Table, file: string): void {
  const old = document.table("registries");
  if (old === undefined) return;
  throw wrong(
    file,
    "registries",
    "[registries.search], [registries.insecure] and [registries.block] are version 1 of its form",
    'write unqualified-search-registries = ["..."] instead of registries.search, and a table ' +
      '[[registry]] with location = "..." and insecure = true or blocked = true for each of the others',
  );
}

function parseAliases(document: Table, file: string): Map<string, string> {
  const aliases = new Map<string, string>();
  const table = document.table("aliases");
  for (const name of table?.keys() ?? []) {
    const target = table!.string(name);
    const short = tryParseName(name);
    if (short?.kind !== "short" || short.path !== name || name.startsWith("localhost/")) {
      throw wrong(file, `aliases.${name}`, `${shown(name)} is not a short name without a tag`);
    }
    // An empty value takes an alias of an earlier file away.
    if (target === "") {
      aliases.set(name, "");
      continue;
    }
    const parsed = tryParseName(target);
    if (parsed?.kind !== "qualified" || !isRepositoryPrefix(target)) {
      throw wrong(
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

function registryEntry(table: Table, file: string): RegistryEntry {
  const location = table.string("location");
  const prefix = table.string("prefix") || location;
  const wildcard = prefix.startsWith("*.");
  if (prefix === "") throw wrong(file, "registry", "an entry has neither prefix nor location");
  if (wildcard && /[/:]/.test(prefix)) {
    throw wrong(file, "registry", `the prefix ${shown(prefix)} has both a wildcard and a path`);
  }
  if (wildcard ? !isRepositoryPrefix(prefix.slice(2)) : !isPlace(prefix)) {
    throw wrong(file, "registry", `the prefix ${shown(prefix)} is not a host or repository`);
  }
  if (location !== "" && (!isPlace(location) || location.includes("@"))) {
    throw wrong(file, "registry", `the location ${shown(location)} is not a host or repository`);
  }
  if (table.has("pull-from-mirror")) {
    throw wrong(file, "registry", "pull-from-mirror belongs into [[registry.mirror]]");
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

function parseMirror(table: Table, digestOnly: boolean, file: string): Mirror {
  const location = table.string("location");
  if (!isPlace(location) || location.includes("@")) {
    throw wrong(file, "registry.mirror", `the location ${shown(location)} is not a host or path`);
  }
  const serves = table.string("pull-from-mirror") || "all";
  if (serves !== "all" && serves !== "digest-only" && serves !== "tag-only") {
    throw wrong(file, "pull-from-mirror", `${shown(serves)} is not all, digest-only or tag-only`);
  }
  if (digestOnly && serves !== "all") {
    throw wrong(file, "pull-from-mirror", "it cannot stand beside mirror-by-digest-only = true");
  }
  const unread = table.unread(["location", "pull-from-mirror", "insecure"]);
  if (unread.length > 0) throw wrong(file, "registry.mirror", `${unread[0]} is not known`);
  return {
    location,
    insecure: table.boolean("insecure"),
    serves: digestOnly ? "digest-only" : serves,
  };
}

/**
 * Complete references that a name may mean, in the order in which they are tried.
 *
 * @param mode the runtime's own `short_name_mode`, which goes before the file's
 * @throws {FailedPreconditionError} a short name that nothing completes, or that fits several
 *   registries while the mode is enforcing: lists them
 */
export function candidates(
  name: ImageName,
  conf: RegistriesConf,
  mode?: ShortNameMode,
): readonly ImageReference[] {
  if (name.kind === "qualified") return [name.reference];
  const alias = conf.aliases.get(name.path);
  if (alias !== undefined && alias !== "") {
    const slash = alias.indexOf("/");
    return [ImageReference.of(alias.slice(0, slash), alias.slice(slash + 1), name.selector)];
  }
  const found = conf.searchRegistries.map((registry) => qualify(name, registry));
  const where = conf.files.length > 0 ? conf.files.join(", ") : "no registries file";
  if (found.length === 0) {
    throw new FailedPreconditionError(
      `Cannot tell the registry of the short name ${shown(name.path)}: ${where} has neither an ` +
        "alias for it nor unqualified-search-registries",
      {
        field: "image",
        value: name.path,
        remedy: `write it in full: docker.io/library/${name.path}`,
      },
    );
  }
  const effective = mode ?? conf.shortNameMode ?? "enforcing";
  // Permissive means asking at a terminal, which a server has not: all are tried, as with disabled.
  if (found.length > 1 && effective === "enforcing") {
    throw new FailedPreconditionError(
      `The short name ${shown(name.path)} may be ${found.join(", ")}, and short names are enforced`,
      {
        field: "image",
        value: name.path,
        remedy: `write one of them in full, or set short_name_mode to disabled (${where})`,
      },
    );
  }
  return found;
}

/**
 * The endpoints that serve a reference, in the order in which they are asked: mirrors, then the
 * registry itself.
 *
 * @throws {FailedPreconditionError} its entry is blocked; names file and entry
 * @throws {UnimplementedError} its entry, or the whole file, has something that is not built here
 */
export function endpoints(reference: ImageReference, conf: RegistriesConf): readonly Endpoint[] {
  if (conf.unbuilt.length > 0) throw unbuilt(conf.unbuilt.join(", "), reference);
  const entry = entryFor(reference, conf.registries);
  if (entry === undefined) {
    return [endpointOf(reference.repository, reference, false, "registry")];
  }
  if (entry.blocked) {
    throw new FailedPreconditionError(
      `Cannot pull ${reference}: the registry ${shown(entry.prefix)} is blocked in ${entry.file}`,
      { field: "image", value: String(reference), path: entry.file, remedy: "remove `blocked`" },
    );
  }
  if (entry.unbuilt.length > 0) {
    throw unbuilt(
      `${entry.unbuilt.join(", ")} of the registry ${shown(entry.prefix)} in ${entry.file}`,
      reference,
    );
  }
  const kind = reference.selector.kind;
  const mirrors = entry.mirrors.filter(({ serves }) =>
    serves === "all" || serves === `${kind}-only`
  );
  return [
    ...mirrors.map(({ location, insecure }) =>
      endpointOf(rewritten(reference, entry, location), reference, insecure, "mirror")
    ),
    endpointOf(rewritten(reference, entry, entry.location), reference, entry.insecure, "registry"),
  ];
}

function entryFor(
  reference: ImageReference,
  entries: readonly RegistryEntry[],
): RegistryEntry | undefined {
  let best: { readonly entry: RegistryEntry; readonly length: number } | undefined;
  for (const entry of entries) {
    const length = matchedLength(reference, entry.prefix);
    if (length > (best?.length ?? 0)) best = { entry, length };
  }
  return best?.entry;
}

/** How many characters of the reference the prefix covers; 0 if it does not fit. */
function matchedLength(reference: ImageReference, prefix: string): number {
  const text = String(reference);
  if (prefix.startsWith("*.")) {
    const host = reference.domain.replace(/:\d+$/, "");
    for (const domain of [reference.domain, host]) {
      if (domain.endsWith(prefix.slice(1))) return domain.length;
    }
    return 0;
  }
  if (!text.startsWith(prefix)) return 0;
  const next = text[prefix.length];
  // A colon: an entry for a host also concerns its ports, as it does for the other tools.
  return next === undefined || "/:@".includes(next) ? prefix.length : 0;
}

function rewritten(reference: ImageReference, entry: RegistryEntry, location: string): string {
  if (location === "") return reference.repository;
  return location + reference.repository.slice(matchedLength(reference, entry.prefix));
}

function endpointOf(
  place: string,
  reference: ImageReference,
  insecure: boolean,
  role: Endpoint["role"],
): Endpoint {
  const { name, tag } = placeParts(place);
  const slash = name.indexOf("/");
  const domain = slash < 0 ? name : name.slice(0, slash);
  if (slash < 0 || domain === "") {
    throw new FailedPreconditionError(`The registries file rewrites the name to ${shown(name)}`);
  }
  const path = name.slice(slash + 1);
  return {
    host: domain === "docker.io" ? "registry-1.docker.io" : domain,
    repository: domain === "docker.io" && !path.includes("/") ? `library/${path}` : path,
    // A digest is what the image is: no location changes it.
    selected: reference.selector.kind === "digest" ? reference.selected : tag ?? reference.selected,
    insecure,
    role,
    name,
  };
}

/** A rewritten name without the tag or digest that its location may bring. */
function placeParts(place: string): { readonly name: string; readonly tag: string | undefined } {
  const whole = place.split("@")[0]!;
  const colon = whole.indexOf(":", whole.lastIndexOf("/") + 1);
  return colon < 0 || !whole.includes("/")
    ? { name: whole, tag: undefined }
    : { name: whole.slice(0, colon), tag: whole.slice(colon + 1) };
}

function unbuilt(what: string, reference: ImageReference): UnimplementedError {
  return new UnimplementedError(`Cannot pull ${reference}: ${what} is not supported yet`, {
    field: "image",
    value: String(reference),
    remedy: "remove it from the registries file",
  });
}

function wrong(
  file: string,
  key: string,
  why: string,
  remedy?: string,
): FailedPreconditionError {
  return new FailedPreconditionError(
    `The registries file ${file} is wrong${key === "" ? "" : ` at ${key}`}: ${why}`,
    {
      path: file,
      ...(key === "" ? {} : { field: key }),
      ...(remedy === undefined ? {} : { remedy }),
    },
  );
}

/** A TOML table whose keys are read by type, and which knows the keys that nobody read. */
class Table {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #name: string;
  readonly #file: string;
  readonly #read = new Set<string>();

  constructor(value: unknown, name: string, file: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw wrong(file, name, "it is not a table");
    }
    this.#values = value as Readonly<Record<string, unknown>>;
    this.#name = name;
    this.#file = file;
  }

  keys(): string[] {
    return Object.keys(this.#values);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key);
  }

  unread(known: readonly string[] = []): string[] {
    return this.keys().filter((key) => !this.#read.has(key) && !known.includes(key));
  }

  string(key: string): string {
    const value = this.#take(key) ?? "";
    if (typeof value !== "string") throw this.#wrong(key, "a string");
    return value;
  }

  boolean(key: string): boolean {
    const value = this.#take(key) ?? false;
    if (typeof value !== "boolean") throw this.#wrong(key, "true or false");
    return value;
  }

  strings(key: string): string[] {
    const value = this.#take(key) ?? [];
    if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) {
      throw this.#wrong(key, "a list of strings");
    }
    return value;
  }

  table(key: string): Table | undefined {
    const value = this.#take(key);
    return value === undefined ? undefined : new Table(value, key, this.#file);
  }

  tables(key: string): Table[] {
    const value = this.#take(key) ?? [];
    if (!Array.isArray(value)) throw this.#wrong(key, "a list of tables, written [[...]]");
    return value.map((one) => new Table(one, key, this.#file));
  }

  #take(key: string): unknown {
    this.#read.add(key);
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  #wrong(key: string, wanted: string): FailedPreconditionError {
    const full = this.#name === "" ? key : `${this.#name}.${key}`;
    return wrong(this.#file, full, `it is not ${wanted}`);
  }
}
