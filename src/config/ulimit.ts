/** Resource limits as they are written in configuration files: `name=soft[:hard]`. @module */

export interface Ulimit {
  /** As in `ulimit` and getrlimit(2), in lower case without its prefix: `nofile`. */
  readonly name: string;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** RLIM_INFINITY. */
export const UNLIMITED = (1n << 64n) - 1n;

const NAMES = new Set(
  ("as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime " +
    "sigpending stack").split(" "),
);

/** The limit, or what is wrong with the text, as the end of a sentence; -1 stands for no limit. */
export function parseUlimit(text: string): Ulimit | string {
  const match = /^([a-z]+)=(-1|\d{1,19})(?::(-1|\d{1,19}))?$/.exec(text);
  if (match === null) return "must be name=soft[:hard], such as nofile=1024:4096";
  const [, name = "", softText = "", hardText = softText] = match;
  if (!NAMES.has(name)) return `names no resource limit: ${name}`;
  const [soft, hard] = [valueOf(softText), valueOf(hardText)];
  return soft > hard ? "has a soft limit above the hard one" : { name, soft, hard };
}

function valueOf(text: string): bigint {
  return text === "-1" ? UNLIMITED : BigInt(text);
}
