/** Where this server keeps what, from the configuration. @module */
import type { Configuration, Flavour } from "../config/mod.ts";

export interface ServerPaths {
  readonly root: string;
  readonly runRoot: string;
  readonly podsDatabase: string;
  readonly imagesDatabase: string;
  readonly reserve: string;
  /** Ranges of the pods' addresses, as the kubelet named them. */
  readonly podCidrs: string;
  /** Files of running execs. */
  readonly execDir: string;
  /** Archives on their way in. */
  readonly incoming: string;
}

/**
 * A root that CRI-O's configuration names holds the stores of other programs, too: ours get a folder
 * of their own there.
 */
export function serverPaths(configuration: Configuration, flavour: Flavour): ServerPaths {
  const below = flavour === "crio" ? "/sauropod" : "";
  const root = `${configuration.base.root}${below}`;
  const runRoot = `${configuration.base.runroot}${below}`;
  return {
    root,
    runRoot,
    podsDatabase: `${root}/pods.db`,
    imagesDatabase: `${root}/images.db`,
    reserve: `${root}/reserve`,
    podCidrs: `${root}/pod-cidrs.json`,
    execDir: `${runRoot}/exec`,
    incoming: `${root}/incoming`,
  };
}
