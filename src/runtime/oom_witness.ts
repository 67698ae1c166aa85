/**
 * Kills for lack of memory in cgroups that are gone: systemd removes a scope with its last process, and
 * the counts in it with it, often before anybody could read them. On cgroup v2 a group counts for all that
 * is or was below it, so the group above still has them.
 *
 * @module
 */

export interface OomWitnessOptions {
  /** Kills in a group and below it; undefined if it is gone. */
  readonly kills: (path: string) => number | undefined;
  /** Names of the groups directly below one. */
  readonly children: (path: string) => readonly string[];
}

interface Parent {
  watchers: number;
  /** Kills in groups below it that are gone, as far as they have been told. */
  told: number;
}

export class OomWitness {
  readonly #options: OomWitnessOptions;
  readonly #parents = new Map<string, Parent>();

  constructor(options: OomWitnessOptions) {
    this.#options = options;
  }

  /** What happens in the group from now on is told apart from what happened before. */
  watch(path: string): Disposable {
    const above = parentOf(path);
    const parent = this.#parents.get(above) ?? { watchers: 0, told: this.#gone(above) };
    parent.watchers++;
    this.#parents.set(above, parent);
    return {
      [Symbol.dispose]: () => {
        parent.watchers--;
        if (parent.watchers === 0) this.#parents.delete(above);
      },
    };
  }

  /** Whether groups that went beside this one, which is gone too, brought kills that nobody was told of. */
  untold(path: string): boolean {
    const above = parentOf(path);
    const parent = this.#parents.get(above);
    if (parent === undefined) return false;
    const gone = this.#gone(above);
    const more = gone > parent.told;
    parent.told = gone;
    return more;
  }

  #gone(parent: string): number {
    const { kills, children } = this.#options;
    const living = children(parent).map((name) => kills(`${parent}/${name}`) ?? 0);
    return (kills(parent) ?? 0) - living.reduce((sum, count) => sum + count, 0);
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
