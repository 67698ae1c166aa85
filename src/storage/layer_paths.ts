/**
 * Where layers lie:
 *
 * ```
 * <root>/layers/<chain hex>/diff/         the layer's files: a lower directory
 *                          /record.json   its commit record
 *              /.new-<chain hex>/         the same while it is unpacked
 *              /.old-<chain hex>/         the same while it is removed
 * ```
 * A directory appears under its own name by rename, complete, and leaves it by rename.
 *
 * @module
 */
import { type ChainId, digestHex, isDigest } from "../model/mod.ts";

export class LayerPaths {
  /** `<root>/layers` */
  readonly base: string;

  constructor(root: string) {
    this.base = `${root}/layers`;
  }

  directory(chainId: ChainId): string {
    return `${this.base}/${digestHex(chainId)}`;
  }

  diff(chainId: ChainId): string {
    return `${this.directory(chainId)}/diff`;
  }

  record(chainId: ChainId): string {
    return `${this.directory(chainId)}/record.json`;
  }

  unpacking(chainId: ChainId): string {
    return `${this.base}/.new-${digestHex(chainId)}`;
  }

  removing(chainId: ChainId): string {
    return `${this.base}/.old-${digestHex(chainId)}`;
  }

  /** The chain ID that a name in `<root>/layers` stands for, undefined for temporary and foreign names. */
  chainIdOf(name: string): ChainId | undefined {
    const chainId = `${name.length === 128 ? "sha512" : "sha256"}:${name}`;
    return isDigest(chainId) ? chainId as ChainId : undefined;
  }
}
