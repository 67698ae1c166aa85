/**
 * Finds pods, containers and images by what a person types: an id, the beginning of one, a name.
 *
 * @module
 */
import { InvalidArgumentError, NotFoundError, shown } from "../errors/mod.ts";
import type { Container, Image, PodSandbox } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";
import { shortId } from "./table.ts";

/** Among several of one name the newest, as a retry leaves older attempts behind. */
interface Named {
  readonly id: string;
  readonly name: string;
  readonly createdAt: bigint;
}

export async function findPod(client: CriClient, query: string): Promise<PodSandbox> {
  const { items } = await client.runtime.listPodSandbox({});
  const named = items.map((pod) => ({
    id: pod.id,
    name: pod.metadata?.name ?? "",
    createdAt: pod.createdAt,
  }));
  const found = find("pod", query, named);
  return items.find((pod) => pod.id === found.id)!;
}

export async function findContainer(client: CriClient, query: string): Promise<Container> {
  const { containers } = await client.runtime.listContainers({});
  const named = containers.map((container) => ({
    id: container.id,
    name: container.metadata?.name ?? "",
    createdAt: container.createdAt,
  }));
  const found = find("container", query, named);
  return containers.find((container) => container.id === found.id)!;
}

/** By reference or id prefix: the server expands short names. */
export async function findImage(client: CriClient, query: string): Promise<Image | undefined> {
  const { image } = await client.image.imageStatus({ image: { image: query } });
  return image;
}

/**
 * @throws {NotFoundError} nothing has that id or name
 * @throws {InvalidArgumentError} the beginning of an id fits several
 */
function find(what: "pod" | "container", query: string, all: readonly Named[]): Named {
  const byPrefix = query === "" ? [] : all.filter(({ id }) => id.startsWith(query));
  if (byPrefix.length === 1) return byPrefix[0]!;
  const byName = all.filter(({ name }) => name === query)
    .sort((left, right) => left.createdAt < right.createdAt ? 1 : -1);
  if (byName[0] !== undefined) return byName[0];
  if (byPrefix.length > 1) {
    throw new InvalidArgumentError(
      `${shown(query)} is the beginning of ${byPrefix.length} ids: ${
        byPrefix.slice(0, 4).map(({ id }) => shortId(id)).join(", ")
      }`,
      { value: query, remedy: "give more of the id" },
    );
  }
  throw new NotFoundError(`There is no ${what} ${shown(query)}`, {
    value: query,
    remedy: what === "pod" ? "see sauropod pods" : "see sauropod ps -a",
  });
}
