/** Images: references, registries, policy, pulls, loads, and the record of what is here. @module */
export type {
  ImageConfig,
  ImageRecord,
  Images,
  ImageUsers,
  LoadRequest,
  PullCredentials,
  PullProgress,
  PullRequest,
} from "./images.ts";
export { createImages, type ImagesOptions, type ImageStore } from "./image_store.ts";
export { IMAGE_DIRECTORY, imageDirectoryType } from "./image_directory.ts";
export { decodeBasic } from "./auth_file.ts";
export { machinePlatform, type Platform } from "./manifest.ts";
export { DEFAULT_POLICY_PATH, loadDefaultPolicy, loadPolicy, type Policy } from "./policy.ts";
export { type ImageName, ImageReference, parseImageName, parseReference } from "./reference.ts";
export { type ShortNameMode } from "./registries_conf.ts";
export { type RetryPolicy } from "./retry.ts";
