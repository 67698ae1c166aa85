/** Signal names and numbers (`signal(7)`, the numbers of x86-64 and ARM). @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { Signal } from "../proto/mod.ts";

const NUMBERS: Readonly<Record<string, number>> = {
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
};
const RTMIN = 34;
const RTMAX = 64;
export const SIGTERM = 15;

/**
 * Number of a signal written as a name with or without SIG, in any case, as a number, or relative to
 * the real-time range: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
 *
 * @throws {InvalidArgumentError} there is no such signal
 */
export function parseSignal(text: string, field = "stop_signal"): number {
  const name = text.toUpperCase().replace(/^SIG/, "");
  const known = Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
  const number = known ?? (/^[0-9]{1,2}$/.test(text) ? Number(text) : realTime(name));
  if (number === undefined || number < 1 || number > RTMAX) {
    throw new InvalidArgumentError(`${field} ${shown(text)} is not a signal`, {
      field,
      value: text,
      remedy: "give a name such as SIGTERM, or a number from 1 to 64",
    });
  }
  return number;
}

/** `RTMIN+n`, `RTMAX-n`, or with PLUS and MINUS as the CRI spells them. */
function realTime(name: string): number | undefined {
  const match = /^RTM(?:IN(?:(?:\+|PLUS)([0-9]{1,2}))?|AX(?:(?:-|MINUS)([0-9]{1,2}))?)$/.exec(name);
  if (match === null) return undefined;
  const number = name.startsWith("RTMIN")
    ? RTMIN + Number(match[1] ?? 0)
    : RTMAX - Number(match[2] ?? 0);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

/**
 * The signal that ends a container: the request's, else the image's, else SIGTERM.
 *
 * @throws {InvalidArgumentError} the request's value is no signal of the CRI
 */
export function stopSignalOf(request: Signal, image: string): number {
  if (request !== Signal.SIGNAL_RUNTIME_DEFAULT) {
    const name: string | undefined = Signal[request];
    return parseSignal(name?.replace(/^SIGNAL_/, "") ?? String(request), "config.stop_signal");
  }
  if (image === "") return SIGTERM;
  try {
    return parseSignal(image, "image.stop_signal");
  } catch {
    // An image's nonsense must not keep its container from running, nor from being stopped.
    return SIGTERM;
  }
}
