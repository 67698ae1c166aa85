/**
 * Who a container's process is: the request, the image's USER and the image's passwd and group
 * files, resolved to numbers.
 *
 * Everything from the image is hostile: numbers that overflow or look like something else are
 * refused instead of wrapped (CVE-2024-40635), and a name of digits is never looked up, because the
 * kubelet has judged it as a number.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from "../proto/mod.ts";

/** Kubernetes allows no more; above it some programs see negative numbers. */
const MAX_ID = 2 ** 31 - 1;
/** NGROUPS_MAX of Linux. */
const MAX_GROUPS = 65536;
const CONTEXT = "config.linux.security_context";

export interface UserRequest {
  readonly uid?: bigint;
  /** Empty if the request has none. */
  readonly username: string;
  readonly gid?: bigint;
  readonly supplementalGroups: readonly bigint[];
  /** `strict`: the groups that the image's files name are left out. */
  readonly policy: "merge" | "strict";
}

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Without duplicates; the primary group first. */
  readonly additionalGids: readonly number[];
  /** Entry of the image's passwd file for the uid. */
  readonly entry?: { readonly name: string; readonly home: string };
}

export function userRequest(context: LinuxContainerSecurityContext | undefined): UserRequest {
  const uid = context?.runAsUser?.value;
  const gid = context?.runAsGroup?.value;
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    username: context?.runAsUsername ?? "",
    supplementalGroups: context?.supplementalGroups ?? [],
    policy: context?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict
      ? "strict"
      : "merge",
  };
}

/**
 * @param imageUser the image's USER: empty, `name`, `uid`, either with `:group` or `:gid`
 * @param passwd the image's /etc/passwd, undefined if it has none; the reader bounds it
 * @throws {InvalidArgumentError} naming the field: an id out of range, an unknown name, a group
 *   without a user
 */
export function resolveUser(
  request: UserRequest,
  imageUser: string,
  passwd: Uint8Array | undefined,
  group: Uint8Array | undefined,
): ResolvedUser {
  const users = parsePasswd(passwd);
  const groups = parseGroup(group);
  if (request.gid !== undefined && request.uid === undefined && request.username === "") {
    throw new InvalidArgumentError("A group to run as is given without a user", {
      field: `${CONTEXT}.run_as_group`,
      value: request.gid.toString(),
      remedy: "give run_as_user or run_as_username, too",
    });
  }
  const wanted = wantedIdentity(request, imageUser);
  const uid = wanted.user.kind === "id" ? wanted.user.id : named(users, wanted.user).uid;
  const entry = wanted.user.kind === "name"
    ? named(users, wanted.user)
    : users.find((user) => user.uid === uid);
  const gid = wanted.group === undefined
    ? entry?.gid ?? 0
    : wanted.group.kind === "id"
    ? wanted.group.id
    : named(groups, wanted.group).gid;

  const additional = new Set([gid]);
  for (const id of request.supplementalGroups) {
    additional.add(checkedId(id, `${CONTEXT}.supplemental_groups`));
  }
  if (request.policy === "merge" && entry !== undefined) {
    for (const { gid, members } of groups) if (members.includes(entry.name)) additional.add(gid);
  }
  if (additional.size > MAX_GROUPS) {
    throw new InvalidArgumentError(
      `The process would have ${additional.size} groups, more than ${MAX_GROUPS}`,
      { field: `${CONTEXT}.supplemental_groups` },
    );
  }
  return {
    uid,
    gid,
    additionalGids: [...additional],
    ...(entry === undefined ? {} : { entry: { name: entry.name, home: entry.home } }),
  };
}

type Wanted =
  & { readonly field: string }
  & (
    | { readonly kind: "id"; readonly id: number }
    | { readonly kind: "name"; readonly name: string }
  );

function wantedIdentity(request: UserRequest, imageUser: string): { user: Wanted; group?: Wanted } {
  const group: { group?: Wanted } = request.gid === undefined ? {} : {
    group: idOf(request.gid, `${CONTEXT}.run_as_group`),
  };
  if (request.uid !== undefined) {
    return { user: idOf(request.uid, `${CONTEXT}.run_as_user`), ...group };
  }
  if (request.username !== "") {
    return { user: parseIdentity(request.username, `${CONTEXT}.run_as_username`), ...group };
  }
  if (imageUser === "") return { user: idOf(0n, "image.user") };
  const [user = "", imageGroup, ...rest] = imageUser.split(":");
  if (rest.length > 0) throw notAUser(imageUser, "image.user");
  return {
    // `:group` is root with that group, as Docker reads it.
    user: user === "" ? idOf(0n, "image.user") : parseIdentity(user, "image.user"),
    ...(imageGroup === undefined || imageGroup === ""
      ? {}
      : { group: parseIdentity(imageGroup, "image.user") }),
  };
}

function idOf(value: bigint, field: string): Wanted {
  return { kind: "id", id: checkedId(value, field), field };
}

function parseIdentity(text: string, field: string): Wanted {
  if (/^[0-9]+$/.test(text)) {
    // A longer text is no id, and BigInt of a megabyte of digits is slow.
    if (text.length > 20) throw outOfRange(text, field);
    return idOf(BigInt(text), field);
  }
  // Not a number, but something that another parser may take for one; or no name at all.
  // deno-lint-ignore no-control-regex -- exactly these would forge or break lines of the files
  if (/^(?:[-+]|0[xXoObB])|[:,\s\0-\x1f\x7f]/.test(text)) throw notAUser(text, field);
  return { kind: "name", name: text, field };
}

function checkedId(value: bigint, field: string): number {
  if (value < 0n || value > BigInt(MAX_ID)) throw outOfRange(value.toString(), field);
  return Number(value);
}

function outOfRange(value: string, field: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} ${shown(value)} is not an id from 0 to ${MAX_ID}`, {
    field,
    value,
  });
}

function notAUser(value: string, field: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} ${shown(value)} is not a user or group`, {
    field,
    value,
    remedy: "give a number or a name, for an image's USER with an optional :group",
  });
}

function named<Entry extends { readonly name: string }>(
  entries: readonly Entry[],
  wanted: Extract<Wanted, { kind: "name" }>,
): Entry {
  const found = entries.find(({ name }) => name === wanted.name);
  if (found === undefined) {
    throw new InvalidArgumentError(
      `${wanted.field} ${shown(wanted.name)} is in neither /etc/passwd nor /etc/group of the image`,
      { field: wanted.field, value: wanted.name, remedy: "give a number instead" },
    );
  }
  return found;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Entries of `passwd(5)`; lines of another shape are passed over, as libc does. */
export function parsePasswd(bytes: Uint8Array | undefined): PasswdEntry[] {
  return fieldsOfLines(bytes).flatMap(([name = "", , uid, gid, , home = ""]) => {
    const ids = [parseFileId(uid), parseFileId(gid)] as const;
    return name === "" || ids[0] === undefined || ids[1] === undefined
      ? []
      : [{ name, uid: ids[0], gid: ids[1], home }];
  });
}

/** Entries of `group(5)`. */
export function parseGroup(bytes: Uint8Array | undefined): GroupEntry[] {
  return fieldsOfLines(bytes).flatMap(([name = "", , id, members = ""]) => {
    const gid = parseFileId(id);
    return name === "" || gid === undefined ? [] : [{ name, gid, members: members.split(",") }];
  });
}

function fieldsOfLines(bytes: Uint8Array | undefined): string[][] {
  if (bytes === undefined) return [];
  return new TextDecoder("latin1").decode(bytes).split("\n").map((line) => line.trim().split(":"));
}

function parseFileId(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}
