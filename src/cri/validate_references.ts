/**
 * How requests name what exists: ids, images, filters; and the times they give.
 *
 * @module
 */
import { LONGEST_TIMER_MS } from "../model/mod.ts";
import {
  type AuthConfig,
  type ContainerFilter,
  ContainerState,
  type ImageSpec,
  type PodSandboxFilter,
  PodSandboxState,
} from "../proto/mod.ts";
import {
  checkEnum,
  checkLength,
  checkMap,
  checkName,
  checkNoControl,
  refuse,
  required,
} from "./field_checks.ts";
import { LIMITS } from "./limits.ts";

/** An id or a prefix of one. @throws {InvalidArgumentError} empty, or not such a text */
export function validateId(field: string, id: string): string {
  checkName(field, id, LIMITS.id);
  return id;
}

/** @returns the image's name, which a valid specification has */
export function validateImageSpec(field: string, spec: ImageSpec | undefined): string {
  const { image, annotations, userSpecifiedImage, imageRef, runtimeHandler } = required(
    field,
    spec,
  );
  required(`${field}.image`, image);
  checkReference(`${field}.image`, image);
  // A container's record keeps these, and lists repeat them.
  checkMap(`${field}.annotations`, annotations, {
    count: LIMITS.annotations,
    total: LIMITS.annotationBytes,
  });
  checkReference(`${field}.user_specified_image`, userSpecifiedImage);
  checkReference(`${field}.image_ref`, imageRef);
  checkLength(`${field}.runtime_handler`, runtimeHandler, LIMITS.name);
  return image;
}

function checkReference(field: string, reference: string): void {
  checkLength(field, reference, LIMITS.imageReference);
  checkNoControl(field, reference);
}

/**
 * @param timeout in seconds
 * @returns milliseconds that a timer can hold
 */
export function validateTimeoutMs(field: string, timeout: bigint): number {
  if (timeout < 0n) {
    refuse(field, "is negative", { value: String(timeout), remedy: "give seconds, 0 or more" });
  }
  return timeout > BigInt(LONGEST_TIMER_MS) / 1000n ? LONGEST_TIMER_MS : Number(timeout) * 1000;
}

export function validateSandboxFilter(filter: PodSandboxFilter | undefined): void {
  if (filter === undefined) return;
  checkLength("filter.id", filter.id, LIMITS.id);
  if (filter.state !== undefined) checkEnum("filter.state", filter.state.state, PodSandboxState);
  validateSelector(filter.labelSelector);
}

export function validateContainerFilter(filter: ContainerFilter | undefined): void {
  if (filter === undefined) return;
  checkLength("filter.id", filter.id, LIMITS.id);
  checkLength("filter.pod_sandbox_id", filter.podSandboxId, LIMITS.id);
  if (filter.state !== undefined) checkEnum("filter.state", filter.state.state, ContainerState);
  validateSelector(filter.labelSelector);
}

function validateSelector(selector: Readonly<Record<string, string>>): void {
  checkMap("filter.label_selector", selector, { count: LIMITS.filterLabels, entry: LIMITS.label });
}

/** Values are secrets: an error names the field and never what it holds. */
export function validateAuth(field: string, auth: AuthConfig | undefined): void {
  if (auth === undefined) return;
  for (const [name, text] of Object.entries(auth)) {
    checkLength(`${field}.${name}`, text, LIMITS.credential);
    if (text.includes("\0")) refuse(`${field}.${name}`, "has a NUL", { remedy: "remove the NUL" });
  }
}
