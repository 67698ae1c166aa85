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

/**
 * A container by id or name, or the only one of a pod: `logs POD` means it.
 *
 * @throws {InvalidArgumentError} the pod has several containers
 */
export async function findContainerOrOnly(client: CriClient, query: string): Promise<Container> {
  try {
    return await findContainer(client, query);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    const pod = await podOrNone(client, query);
    if (pod === undefined) throw error;
    const { containers } = await client.runtime.listContainers({
      filter: { podSandboxId: pod.id },
    });
    // Earlier attempts of a container go by its name, too: the newest counts.
    const names = [...new Set(containers.map(({ metadata }) => metadata?.name ?? ""))].sort();
    if (names.length === 1) {
      return containers.reduce((a, b) => a.createdAt > b.createdAt ? a : b);
    }
    throw new InvalidArgumentError(
      names.length === 0
        ? `The pod ${shown(query)} has no container`
        : `The pod ${shown(query)} has ${names.length} containers: ${names.join(", ")}`,
      { value: query, ...(names.length === 0 ? {} : { remedy: "name one of them" }) },
    );
  }
}

/** For commands that take pods with `--pod` only, so that no pod is ended by a slip. */
export async function findContainerNotPod(client: CriClient, query: string): Promise<Container> {
  try {
    return await findContainer(client, query);
  } catch (error) {
    if (!(error instanceof NotFoundError) || await podOrNone(client, query) === undefined) {
      throw error;
    }
    throw new NotFoundError(`There is no container ${shown(query)}, but a pod`, {
      value: query,
      remedy: "give --pod if the pod is meant",
    });
  }
}

async function podOrNone(client: CriClient, query: string): Promise<PodSandbox | undefined> {
  try {
    return await findPod(client, query);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
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
  // A name wins over ids that only begin like it: those change from one run to the next.
  const [named] = all.filter(({ name }) => name === query)
    .sort((left, right) => left.createdAt < right.createdAt ? 1 : -1);
  if (named !== undefined) return named;
  const byPrefix = query === "" ? [] : all.filter(({ id }) => id.startsWith(query));
  if (byPrefix.length === 1) return byPrefix[0]!;
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
