/** `ContainerStatus` of a container. @module */
import { type ContainerStatus, Signal } from "../proto/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { StepTiming } from "../state/steps.ts";
import { type ContainerRecord, criContainerState } from "./container.ts";

export interface ContainerInfoExtras {
  /** The spec it runs with; undefined after a reboot. */
  readonly spec: JsonObject | undefined;
  /** Where its making spent its time, if this process made it. */
  readonly timings: readonly StepTiming[];
}

/** What the container is now; exit code -1 until it has ended. */
export function containerStatus(record: ContainerRecord): ContainerStatus {
  const { config, state } = record;
  const exited = state.kind === "exited" ? state : undefined;
  const startedAt = state.kind === "running" || state.kind === "exited" ? state.startedAtNs : 0n;
  return {
    id: record.id,
    metadata: config.metadata,
    state: criContainerState(record),
    createdAt: record.createdAtNs,
    startedAt,
    finishedAt: exited?.finishedAtNs ?? 0n,
    exitCode: exited?.exitCode ?? (state.kind === "created" || state.kind === "running" ? 0 : -1),
    image: config.image && { ...config.image, image: record.imageName },
    imageRef: record.imageRef,
    imageId: record.imageId,
    reason: exited?.reason ?? "",
    message: exited?.message ?? "",
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts,
    logPath: record.place.logPath,
    resources: { linux: record.limits.inForce, windows: undefined },
    user: {
      linux: {
        uid: BigInt(record.user.uid),
        gid: BigInt(record.user.gid),
        supplementalGroups: record.user.additionalGids.map(BigInt),
      },
    },
    stopSignal: config.stopSignal ?? Signal.SIGNAL_RUNTIME_DEFAULT,
  };
}

/** The verbose part of the answer. */
export function containerInfo(
  record: ContainerRecord,
  { spec, timings }: ContainerInfoExtras,
): object {
  return {
    sandboxID: record.sandboxId,
    pid: "init" in record.state ? record.state.init.pid : 0,
    runtimeSpec: spec ?? null,
    privileged: record.config.linux?.securityContext?.privileged ?? false,
    cgroupPath: record.place.cgroupPath,
    timings,
  };
}
