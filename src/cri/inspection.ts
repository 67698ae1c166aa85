/**
 * CRI-O's pages about the server and its containers, read-only, for cAdvisor, `curl` and
 * `sauropod status`.
 *
 * @module
 */
import { NotFoundError, shown } from "../errors/mod.ts";
import type { ContainerService, SandboxService } from "../pod/service.ts";
import { ContainerState, NamespaceMode, type PodSandboxStatus } from "../proto/mod.ts";
import type { HttpAnswer, HttpRoutes } from "./http.ts";

export interface InspectionOptions {
  readonly containers: Pick<ContainerService, "status">;
  readonly sandboxes: Pick<SandboxService, "status">;
  /** The effective configuration as TOML, without what may be secret. */
  readonly configuration: () => string;
  readonly node: InspectedNode;
}

export interface InspectedNode {
  readonly storageDriver: string;
  readonly storageRoot: string;
  /** Where images are, if not below the root. */
  readonly imageStore: string;
  readonly cgroupDriver: string;
}

/** `/config`, `/info` and `/containers/{id}`. */
export function inspectionRoutes(options: InspectionOptions): HttpRoutes {
  return {
    "/config": () => ({ contentType: "application/toml", body: options.configuration() }),
    "/info": () => ({ body: `${JSON.stringify(infoOf(options.node))}\n` }),
    "/containers/": (id) => containerAnswer(id, options),
  };
}

/** All ids as they are: no mapping applies to containers that ask for none. */
const FULL_RANGE = [{ container_id: 0, host_id: 0, size: 4_294_967_295 }];

function infoOf({ storageDriver, storageRoot, imageStore, cgroupDriver }: InspectedNode): unknown {
  return {
    storage_driver: storageDriver,
    storage_image: imageStore,
    storage_root: storageRoot,
    cgroup_driver: cgroupDriver,
    default_id_mappings: { uids: FULL_RANGE, gids: FULL_RANGE },
  };
}

/** @throws {NotFoundError} there is no container of that full id */
function containerAnswer(id: string, { containers, sandboxes }: InspectionOptions): HttpAnswer {
  if (!/^[0-9a-f]{64}$/.test(id)) throw unknown(id);
  const { status, info } = containers.status(id, true);
  if (status === undefined || status.id !== id) throw unknown(id);
  const detail = detailOf(info.info);
  const sandbox = sandboxes.status(detail.sandboxID, false).status;
  const json = JSON.stringify({
    name: nameOf(status.metadata, sandbox),
    pid: status.state === ContainerState.CONTAINER_RUNNING ? detail.pid : 0,
    image: status.image?.userSpecifiedImage || status.image?.image || "",
    image_ref: status.imageRef,
    created_time: String(status.createdAt),
    labels: status.labels,
    annotations: status.annotations,
    crio_annotations: detail.runtimeSpec?.annotations ?? {},
    log_path: status.logPath,
    root: detail.runtimeSpec?.root?.path ?? "",
    sandbox: detail.sandboxID,
    ip_addresses: addressesOf(sandbox),
    host_network: sandbox?.linux?.namespaces?.options?.network === NamespaceMode.NODE,
  });
  // Nanoseconds are more than a number of JavaScript holds. The first match is ours: quotes within
  // the texts before it are escaped.
  return { body: `${json.replace(/"created_time":"(\d+)"/, '"created_time":$1')}\n` };
}

interface ContainerDetail {
  readonly sandboxID: string;
  readonly pid: number;
  readonly runtimeSpec: {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly root?: { readonly path?: string };
  } | null;
}

/** What our own verbose status says. */
function detailOf(info: string | undefined): ContainerDetail {
  return JSON.parse(info ?? "{}") as ContainerDetail;
}

/** As CRI-O and the dockershim before it name containers. */
function nameOf(
  metadata: { readonly name: string; readonly attempt: number } | undefined,
  sandbox: PodSandboxStatus | undefined,
): string {
  const { name = "", namespace = "", uid = "" } = sandbox?.metadata ?? {};
  return ["k8s", metadata?.name ?? "", name, namespace, uid, metadata?.attempt ?? 0].join("_");
}

function addressesOf(sandbox: PodSandboxStatus | undefined): string[] {
  const { ip = "", additionalIps = [] } = sandbox?.network ?? {};
  return ip === "" ? [] : [ip, ...additionalIps.map((more) => more.ip)];
}

function unknown(id: string): NotFoundError {
  return new NotFoundError(`There is no container ${shown(id)}`, { id });
}
