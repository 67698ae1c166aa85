/**
 * Inputs that are nearly right: seeds changed at random places, the same in every run.
 *
 * @module
 */
import assert from "node:assert/strict";
import { SauropodError } from "../../src/errors/mod.ts";

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `below - 1`. */
  below(below: number): number {
    // xorshift32: its low bits are good enough for small ranges.
    let x = this.#state || 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

/** Pieces that parsers stumble over. */
const PIECES = [
  "\0",
  "\n",
  "..",
  "/",
  "//",
  ":",
  "@",
  "%",
  "\\",
  '"',
  "'",
  "[",
  "]]",
  "{",
  "}",
  "=",
  "#",
  "é",
  "\u{1F995}",
  "\ud800",
  "9".repeat(30),
  "-1",
  "1e999",
  "null",
  "true",
  "[]",
  "{}",
  "__proto__",
  "constructor",
  "a".repeat(300),
  "sha256:",
  "0".repeat(64),
  "\t",
  " ",
  ",",
];

/** One to eight changes of a text. */
export function mutateText(text: string, random: Random): string {
  let result = text;
  for (let count = 1 + random.below(8); count > 0; count--) {
    const at = random.below(result.length + 1);
    const length = random.below(Math.min(16, result.length - at + 1));
    const change = random.below(4);
    const middle = change === 0
      ? random.pick(PIECES)
      : change === 1
      ? ""
      : change === 2
      ? String.fromCharCode(random.below(256))
      : result.slice(at, at + length).repeat(1 + random.below(3));
    result = result.slice(0, at) + middle +
      result.slice(at + (change === 3 ? length : random.below(length + 1)));
  }
  return result;
}

/** One to twelve changes of bytes, also of their number. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes);
  for (let count = 1 + random.below(12); count > 0 && result.length > 0; count--) {
    const at = random.below(result.length);
    const change = random.below(4);
    if (change === 0) result[at] = random.below(256);
    else if (change === 1) result[at]! ^= 1 << random.below(8);
    else if (change === 2) result[at] = random.pick([0, 0x7f, 0x80, 0xff, 0x2f, 0x2e, 0x0a]);
    else result.copyWithin(at, random.below(result.length), result.length);
  }
  if (random.below(4) === 0) return result.slice(0, random.below(result.length + 1));
  return result;
}

const INT32S = [0, 1, -1, 2, 7, 65_535, 65_536, 2 ** 31 - 1, -(2 ** 31)];
const INT64S = [0n, 1n, -1n, 1_000n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n - 1n, -(2n ** 63n)];

/** One to four changes of a decoded message's values, which stays one that can be encoded. */
export function mutateMessage<T>(message: T, random: Random): T {
  const result = structuredClone(message);
  for (let count = 1 + random.below(4); count > 0; count--) mutateWithin(result, random);
  return result;
}

/** Walks down to a value and changes it where it stands. */
function mutateWithin(parent: unknown, random: Random): void {
  if (typeof parent !== "object" || parent === null || parent instanceof Uint8Array) return;
  const entries = Object.entries(parent).filter(([, value]) => value !== undefined);
  if (entries.length === 0) return;
  const [key, value] = random.pick(entries);
  const set = (changed: unknown) => Object.assign(parent, { [key]: changed });
  if (typeof value === "string") set(mutateText(value, random).toWellFormed());
  else if (typeof value === "number") set(random.pick(INT32S));
  else if (typeof value === "bigint") set(random.pick(INT64S));
  else if (typeof value === "boolean") set(!value);
  else if (value instanceof Uint8Array) set(mutateBytes(value, random));
  else if (Array.isArray(value) && random.below(3) === 0) {
    set(random.below(2) === 0 ? [...value, ...value, ...value] : value.slice(1));
  } else mutateWithin(value, random);
}

export interface Fuzzing<I> {
  readonly seeds: readonly I[];
  readonly mutate: (seed: I, random: Random) => I;
  readonly seed: number;
  readonly durationMs: number;
  /** Hands the input to the code under test. May be refused by a domain error only. */
  readonly act: (input: I) => unknown;
}

/** No input may take longer: ten times what the slowest takes on a busy machine. */
const SLOW_MS = 2_000;

/** Tries inputs until the time is over; fails with the input that broke the rule. */
export async function fuzz<I>({ seeds, mutate, seed, durationMs, act }: Fuzzing<I>): Promise<void> {
  const random = new Random(seed);
  let refused = 0;
  let tried = 0;
  for (const original of seeds) await act(original);
  for (const end = performance.now() + durationMs; performance.now() < end; tried++) {
    const input = mutate(random.pick(seeds), random);
    const begun = performance.now();
    try {
      await act(input);
    } catch (error) {
      refused++;
      if (!(error instanceof SauropodError) || error.kind === "internal") {
        throw new Error(`seed ${seed}, input ${tried}: ${Deno.inspect(input, LONG)}`, {
          cause: error,
        });
      }
    }
    const tookMs = performance.now() - begun;
    assert.ok(tookMs < SLOW_MS, `${tookMs} ms for input ${tried}: ${Deno.inspect(input, LONG)}`);
  }
  assert.ok(tried > 50, `only ${tried} inputs were tried`);
  assert.ok(refused > 0 && refused < tried, `${refused} of ${tried} were refused: a poor mutation`);
}

const LONG = { strAbbreviateSize: 2_000, iterableLimit: 2_000 };
