/** What every section is given, and the order in which peers take their turns. @module */
import type { Figures } from "./figures.ts";
import type { BenchImages } from "./images.ts";
import type { Peer } from "./peer.ts";

export interface BenchContext {
  readonly peers: readonly Peer[];
  readonly figures: Figures;
  readonly images: BenchImages;
  readonly rounds: number;
  /** Repetitions of each call in a round. */
  readonly calls: number;
  /** Fires when the run is to end early. */
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export type Section = (context: BenchContext) => Promise<void>;

export function* roundsOf({ rounds, figures }: BenchContext): Generator<number> {
  for (let round = 1; round <= rounds; round++) {
    figures.round = round;
    yield round;
  }
  figures.round = 1;
}

/** Who goes first changes from call to call. */
export function inTurns(peers: readonly Peer[], call: number): readonly Peer[] {
  const at = call % peers.length;
  return [...peers.slice(at), ...peers.slice(0, at)];
}
