/**
 * The ranges that the cluster gave this node for its pods (UpdateRuntimeConfig), kept over restarts:
 * the kubelet names them once in its life, not in ours.
 *
 * @module
 */
import { isIP } from "node:net";
import { errorMessage, InvalidArgumentError, shown, UnavailableError } from "../errors/mod.ts";
import { writeFileAtomic } from "../sys/atomic_file.ts";
import type { Logger } from "../telemetry/mod.ts";
import { canonicalIp, type Family, familyOf } from "./host_addresses.ts";
import { SerialQueues } from "./serial_queues.ts";

const FIELD = "runtime_config.network_config.pod_cidr";
const REMEDY =
  "write one range, or one of each family with a comma between: 10.1.0.0/24,fd00:1::/64";
/** Ours is below a hundred. */
const FILE_LIMIT_BYTES = 4096;
/** Two of the longest spellings. */
const TEXT_LIMIT = 128;
const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

/**
 * The ranges of a list with commas, in one spelling each.
 *
 * @throws {InvalidArgumentError} naming the range that is none, has host bits, or is the second of its family
 */
export function parsePodCidrs(text: string): string[] {
  if (text.length > TEXT_LIMIT) throw wrong(text, "is too long");
  const families = new Set<Family>();
  return text.split(",").map((part) => {
    const range = part.trim();
    const [address = "", prefix = "", ...rest] = range.split("/");
    // A zone belongs to an interface.
    if (isIP(address) === 0 || address.includes("%") || rest.length > 0) {
      throw wrong(range, "is not a range of addresses");
    }
    const family = familyOf(address);
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(prefix) || Number(prefix) > BITS[family]) {
      throw wrong(range, `has no prefix length from 0 to ${BITS[family]}`);
    }
    if (!isNetwork(address, family, Number(prefix))) {
      throw wrong(range, "is the address of a host: bits behind the prefix are set");
    }
    if (families.has(family)) throw wrong(text, `has two ranges of IPv${family}`);
    families.add(family);
    return `${canonicalIp(address)}/${prefix}`;
  });
}

export class PodCidrs {
  readonly #path: string;
  readonly #writing = new SerialQueues<string>();
  #current: readonly string[];

  private constructor(path: string, current: readonly string[]) {
    this.#path = path;
    this.#current = current;
  }

  /** @param path file that keeps them; one that cannot be read is as good as none, and is told */
  static async open(path: string, log: Logger): Promise<PodCidrs> {
    try {
      return new PodCidrs(path, await read(path));
    } catch (error) {
      // Plugins that wait for ranges refuse pods until the kubelet names them again.
      log.error("The pod CIDR of an earlier start cannot be read; restart the kubelet", {
        path,
        error,
      });
      return new PodCidrs(path, []);
    }
  }

  /** For pods that are attached from now on; empty until the kubelet has named any. */
  get current(): readonly string[] {
    return this.#current;
  }

  /**
   * Survives a power cut when it resolves. An empty text changes nothing.
   *
   * @throws {InvalidArgumentError} it is no list of ranges
   * @throws {UnavailableError} it could not be written; the ranges are the ones before
   */
  async update(text: string): Promise<void> {
    if (text === "") return;
    const cidrs = parsePodCidrs(text);
    await this.#writing.run(this.#path, async () => {
      if (cidrs.join() === this.#current.join()) return;
      try {
        await writeFileAtomic(this.#path, `${JSON.stringify({ podCidrs: cidrs })}\n`);
      } catch (cause) {
        throw new UnavailableError(`The pod CIDR could not be kept: ${errorMessage(cause)}`, {
          path: this.#path,
          cause,
        });
      }
      this.#current = cidrs;
    });
  }
}

async function read(path: string): Promise<string[]> {
  try {
    const { isFile, size } = await Deno.lstat(path);
    if (!isFile || size > FILE_LIMIT_BYTES) throw new TypeError("it is not a small regular file");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const { podCidrs } = JSON.parse(await Deno.readTextFile(path)) as { podCidrs?: unknown };
  if (!Array.isArray(podCidrs)) throw new TypeError("it has no list of ranges");
  return parsePodCidrs(podCidrs.join());
}

function isNetwork(address: string, family: Family, prefix: number): boolean {
  const [width, groups] = family === 4
    ? [8n, address.split(".").map(Number)] as const
    : [16n, groupsOf(canonicalIp(address))] as const;
  const value = groups.reduce((sum, group) => (sum << width) | BigInt(group), 0n);
  return (value & ((1n << BigInt(BITS[family] - prefix)) - 1n)) === 0n;
}

/** The eight groups of an address in its canonical spelling, which has no dotted part. */
function groupsOf(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const numbers = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  if (tail === undefined) return numbers(head);
  const [before, after] = [numbers(head), numbers(tail)];
  return [...before, ...Array(8 - before.length - after.length).fill(0), ...after];
}

function wrong(value: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(`${FIELD} ${shown(value)} ${what}`, {
    field: FIELD,
    value,
    remedy: REMEDY,
  });
}
