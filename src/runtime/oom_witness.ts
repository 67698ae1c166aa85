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
  /** Kills that groups told of themselves before they went, by name. */
  readonly toldBefore: Map<string, number>;
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
    const parent = this.#parents.get(above) ??
      { watchers: 0, told: this.#goneKills(above, this.#living(above)), toldBefore: new Map() };
    parent.watchers++;
    this.#parents.set(above, parent);
    return {
      [Symbol.dispose]: () => {
        parent.watchers--;
        if (parent.watchers === 0) this.#parents.delete(above);
      },
    };
  }

  /** The group is there, and has told itself of so many kills: its going brings none that are news. */
  told(path: string, kills: number): void {
    if (kills > 0) this.#parents.get(parentOf(path))?.toldBefore.set(nameOf(path), kills);
  }

  /** Whether groups that went beside this one, which is gone too, brought kills that nobody was told of. */
  untold(path: string): boolean {
    const above = parentOf(path);
    const parent = this.#parents.get(above);
    if (parent === undefined) return false;
    const living = this.#living(above);
    for (const [name, kills] of parent.toldBefore) {
      if (living.has(name)) continue;
      parent.told += kills;
      parent.toldBefore.delete(name);
    }
    const gone = this.#goneKills(above, living);
    const more = gone > parent.told;
    parent.told = gone;
    return more;
  }

  /** Kills in the groups that are there, by name. */
  #living(parent: string): ReadonlyMap<string, number> {
    const { kills, children } = this.#options;
    const living = new Map<string, number>();
    for (const name of children(parent)) {
      const count = kills(`${parent}/${name}`);
      if (count !== undefined) living.set(name, count);
    }
    return living;
  }

  #goneKills(parent: string, living: ReadonlyMap<string, number>): number {
    const below = [...living.values()].reduce((sum, count) => sum + count, 0);
    return (this.#options.kills(parent) ?? 0) - below;
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
