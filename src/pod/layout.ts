/**
 * Where pods and containers have their files. Every path is built from ids alone, never from a name
 * that a request brings.
 *
 * ```text
 * <root>/pods/<id>/         record.json                     survives a reboot
 * <root>/containers/<id>/   record.json, volumes/           survives a reboot
 * <runroot>/pods/<id>/      hostname, hosts, resolv.conf, shm/, pid-holder/
 * <runroot>/containers/<id>/  the bundle: config.json, pidfile, ctl, oom, passwd, group, localtime, containerenv, mounts/
 * <namespaces>/{net,ipc,uts,pid}ns/<id>                     pinned namespaces
 * ```
 *
 * @module
 */
import type { ContainerId, SandboxId } from "../model/mod.ts";
import type { PinnedNamespace } from "../sys/namespaces.ts";

export interface LayoutRoots {
  /** Persistent state. */
  readonly root: string;
  /** State that ends with the boot. */
  readonly runRoot: string;
  /** `namespaces_dir`. */
  readonly namespacesDir: string;
  /** `log_dir`: logs of pods that name no directory. */
  readonly logDir: string;
}

export class PodLayout {
  readonly #roots: LayoutRoots;

  constructor(roots: LayoutRoots) {
    this.#roots = roots;
  }

  podsDir(): string {
    return `${this.#roots.root}/pods`;
  }
  containersDir(): string {
    return `${this.#roots.root}/containers`;
  }
  podDir(id: SandboxId): string {
    return `${this.podsDir()}/${id}`;
  }
  podRunDir(id: SandboxId): string {
    return `${this.#roots.runRoot}/pods/${id}`;
  }
  containerDir(id: ContainerId): string {
    return `${this.containersDir()}/${id}`;
  }
  bundle(id: ContainerId): string {
    return `${this.#roots.runRoot}/containers/${id}`;
  }
  /** Content of the volumes that the image declares, a folder each, where they are kept apart. */
  volumes(id: ContainerId): string {
    return `${this.containerDir(id)}/volumes`;
  }
  /** Bundle of the process that holds a pod's PID namespace. */
  pidHolder(id: SandboxId): string {
    return `${this.podRunDir(id)}/pid-holder`;
  }
  /** By the id of the pod, or of the container that joins another's PID namespace. */
  namespacePin(id: SandboxId | ContainerId, kind: PinnedNamespace): string {
    return `${this.#roots.namespacesDir}/${kind}ns/${id}`;
  }
  /** Log directory of a pod that names none. */
  defaultLogDir(id: SandboxId): string {
    return `${this.#roots.logDir}/${id}`;
  }

  podFiles(id: SandboxId): PodFiles {
    const dir = this.podRunDir(id);
    return {
      hostname: `${dir}/hostname`,
      hosts: `${dir}/hosts`,
      resolvConf: `${dir}/resolv.conf`,
      shm: `${dir}/shm`,
    };
  }
}

/** Files of ours that every container of a pod gets mounted. */
export interface PodFiles {
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
  /** A tmpfs. */
  readonly shm: string;
}
