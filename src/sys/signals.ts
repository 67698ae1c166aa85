/**
 * Signals by name and number, real-time ones included (x86_64 and aarch64 have the same).
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

const NUMBERS = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  IOT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  POLL: 29,
  PWR: 30,
  SYS: 31,
} as const;

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGTERM = 15;
export const SIGCHLD = 17;
export const SIGCONT = 18;

/** First and last real-time signal as programs see them; glibc keeps 32 and 33 for itself. */
const RTMIN = 34;
const RTMAX = 64;

const BY_NAME: ReadonlyMap<string, number> = new Map(Object.entries(NUMBERS));
const ALIASES: ReadonlySet<string> = new Set(["IOT", "CLD", "POLL"]);
const BY_NUMBER: ReadonlyMap<number, string> = new Map(
  Object.entries(NUMBERS).filter(([name]) => !ALIASES.has(name)).map(([name, n]) => [n, name]),
);

/**
 * The number of a signal written as images and requests do: `15`, `TERM`, `SIGTERM`, `sigterm`,
 * `SIGRTMIN+3`, `RTMAX-1`.
 *
 * @throws {InvalidArgumentError} for anything else, and for numbers outside 1 to 64
 */
export function parseSignal(text: string, field = "signal"): number {
  const number = /^[0-9]{1,3}$/.test(text)
    ? Number(text)
    : signalNumber(text.toUpperCase().replace(/^SIG/, ""));
  if (number === undefined || number < 1 || number > RTMAX) {
    throw new InvalidArgumentError(`${field} ${shown(text)} is not a signal`, {
      field,
      value: text,
      remedy: "give a name such as SIGTERM or SIGRTMIN+3, or a number from 1 to 64",
    });
  }
  return number;
}

function signalNumber(name: string): number | undefined {
  const realTime = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(name);
  if (realTime === null) return BY_NAME.get(name);
  const [, base, sign, offset = "0"] = realTime;
  const number = (base === "MIN" ? RTMIN : RTMAX) + Number(`${sign ?? "+"}${offset}`);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

/** `SIGTERM` for 15, `SIGRTMIN+3` for 37, the bare number for what has no name. */
export function signalName(number: number): string {
  const name = BY_NUMBER.get(number);
  if (name !== undefined) return `SIG${name}`;
  if (number < RTMIN || number > RTMAX) return String(number);
  if (number === RTMIN) return "SIGRTMIN";
  return number === RTMAX ? "SIGRTMAX" : `SIGRTMIN+${number - RTMIN}`;
}
