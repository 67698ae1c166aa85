/** The name under which a container's status shows its image. @module */
import type { ImageRecord } from "../image/images.ts";
import type { ImageSpec } from "../proto/mod.ts";

/**
 * The name that was asked for. A kubelet asks by id, which says nothing to people who read the status of a pod:
 * then it is the image's name that the pod's author wrote, in full, else any name that the image has.
 */
export function imageName(
  image: Pick<ImageRecord, "id" | "repoTags" | "repoDigests">,
  requested: ImageSpec | undefined,
): string {
  const asked = requested?.image ?? "";
  if (!image.id.startsWith(asked.replace(/^sha256:/, ""))) return asked;
  const names = [...image.repoTags, ...image.repoDigests];
  const wanted = requested?.userSpecifiedImage ?? "";
  return names.find((name) => name === wanted) ??
    names.find((name) => name.endsWith(`/${wanted}`) || name.endsWith(`/${wanted}:latest`)) ??
    names[0] ?? asked;
}
