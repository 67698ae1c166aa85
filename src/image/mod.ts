/** Images: references, registries, policy, pulls, loads, and the record of what is here. @module */
export type {
  ImageConfig,
  ImageRecord,
  Images,
  ImageUsers,
  LoadRequest,
  PasswordCredentials,
  PullCredentials,
  PullProgress,
  PullRequest,
} from "./images.ts";
export { createImages, type ImagesOptions, type ImageStore } from "./image_store.ts";
export { IMAGE_DIRECTORY, imageDirectoryType } from "./image_directory.ts";
export { type AuthFilePath, decodeBasic, defaultAuthFiles } from "./auth_file.ts";
export { CredentialHelpers } from "./credential_helper.ts";
export { isConnectionRefused } from "./endpoint_failures.ts";
export { defaultCertsDirectories } from "./registry_certs.ts";
export { machinePlatform, type Platform } from "./manifest.ts";
export {
  DEFAULT_POLICY_PATH,
  loadDefaultPolicy,
  loadPolicy,
  type Policy,
  PolicyRejectedError,
} from "./policy.ts";
export { type ImageName, ImageReference, parseImageName, parseReference } from "./reference.ts";
export {
  DEFAULT_ALIAS_CACHE,
  defaultRegistriesSources,
  type RegistriesSources,
  type ShortNameMode,
} from "./registries_conf.ts";
export { type RetryPolicy } from "./retry.ts";
