/** What SQLite's failures mean in the vocabulary of the domain. @module */
import {
  errorMessage,
  InternalError,
  ResourceExhaustedError,
  SauropodError,
  UnavailableError,
} from "../errors/mod.ts";

/** `PRAGMA quick_check` complained. */
export class DamagedDatabase extends Error {
  override readonly name = "DamagedDatabase";
}

// Primary result codes, https://sqlite.org/rescode.html
const BUSY = 5;
const LOCKED = 6;
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;

/** node:sqlite gives the code to errors of prepared statements only, so the texts are known, too. */
const TEXTS: Readonly<Record<string, number>> = {
  "database is locked": BUSY,
  "database table is locked": LOCKED,
  "database disk image is malformed": CORRUPT,
  "database or disk is full": FULL,
  "file is not a database": NOT_A_DATABASE,
};

function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" ? code & 0xff : TEXTS[error.message];
}

/** True if the file itself is broken: waiting or repeating cannot help. */
export function isDamage(error: unknown): boolean {
  const code = primaryCode(error);
  return error instanceof DamagedDatabase || code === CORRUPT || code === NOT_A_DATABASE;
}

/** @param doing what could not be done, as the beginning of the message */
export function databaseError(error: unknown, doing: string, path: string): SauropodError {
  if (error instanceof SauropodError) return error;
  const message = `${doing} ${path}: ${errorMessage(error)}`;
  const details = { path, cause: error };
  switch (primaryCode(error)) {
    case FULL:
      return new ResourceExhaustedError(message, {
        ...details,
        code: "ENOSPC",
        remedy: "free space on the file system of the root directory",
      });
    case BUSY:
    case LOCKED:
      return new UnavailableError(message, {
        ...details,
        remedy: "end the other program that has the database open",
      });
    default:
      return isDamage(error)
        ? new InternalError(message, {
          ...details,
          remedy: "restart: the damaged file is set aside and the record rebuilt",
        })
        : new InternalError(message, details);
  }
}

/** True for a full disk or quota as SQLite, the kernel and Deno tell it. */
export function isDiskFull(error: unknown): boolean {
  const code = error instanceof SauropodError
    ? error.details.code
    : (error as { code?: unknown } | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}
