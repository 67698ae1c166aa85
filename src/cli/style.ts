/**
 * Colours: on terminals only, not with NO_COLOR, and as `--color` says.
 *
 * @see https://no-color.org
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

export type Colour = "red" | "green" | "yellow" | "dim" | "bold";

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** Paints texts, or leaves them as they are. */
export type Paint = (colour: Colour | undefined, text: string) => string;

export function plain(_: Colour | undefined, text: string): string {
  return text;
}

export function coloured(colour: Colour | undefined, text: string): string {
  return colour === undefined || text === "" ? text : `\x1b[${CODES[colour]}m${text}\x1b[0m`;
}

export type ColourChoice = "auto" | "always" | "never";

/** @throws {InvalidArgumentError} `--color` has another value */
export function colourChoice(text: string | undefined): ColourChoice {
  if (text === undefined) return "auto";
  if (text === "auto" || text === "always" || text === "never") return text;
  throw new InvalidArgumentError(`--color ${shown(text)} is not known`, {
    field: "color",
    value: text,
    remedy: "give auto, always or never",
  });
}

/** How to paint on a stream. */
export function paintFor(
  choice: ColourChoice,
  { isTerminal, env }: {
    readonly isTerminal: boolean;
    readonly env: Readonly<Record<string, string | undefined>>;
  },
): Paint {
  if (choice !== "auto") return choice === "always" ? coloured : plain;
  const wanted = isTerminal && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return wanted ? coloured : plain;
}
