/**
 * An image's record as the CRI shows it.
 *
 * @module
 */
import type { ImageRecord } from "../image/images.ts";
import { Image } from "../proto/mod.ts";

/** Of `user` or `user:group`, a number becomes the uid and anything else the user name. */
export function imageMessage(record: ImageRecord): Image {
  return Image.fromPartial({
    id: record.id,
    repoTags: [...record.repoTags],
    repoDigests: [...record.repoDigests],
    size: record.sizeBytes,
    ...imageUser(record.config.user),
    spec: { image: record.repoTags[0] ?? record.repoDigests[0] ?? record.id },
    pinned: record.pinned,
  });
}

/** For a verbose ImageStatus: JSON with the labels and the image's own configuration. */
export function imageInfo(record: ImageRecord): Record<string, string> {
  const { config } = record;
  const imageSpec = {
    created: config.created === "" ? undefined : config.created,
    architecture: config.architecture,
    os: config.os,
    config: {
      User: config.user,
      Env: config.env,
      Entrypoint: config.entrypoint,
      Cmd: config.cmd,
      WorkingDir: config.workingDir,
      Labels: config.labels,
      StopSignal: config.stopSignal,
      Volumes: Object.fromEntries(config.volumes.map((path) => [path, {}])),
      ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [port, {}])),
    },
    rootfs: { type: "layers", diff_ids: config.diffIds },
  };
  return { info: JSON.stringify({ labels: config.labels, imageSpec }) };
}

/** 2^32 - 1 is no user; a longer number is a name that happens to have digits only. */
const LARGEST_UID = 2n ** 32n - 2n;

function imageUser(user: string): { uid: { value: bigint } } | { username: string } {
  const name = user.split(":", 1)[0] ?? "";
  if (/^\d{1,10}$/.test(name) && BigInt(name) <= LARGEST_UID) {
    return { uid: { value: BigInt(name) } };
  }
  return { username: name };
}
