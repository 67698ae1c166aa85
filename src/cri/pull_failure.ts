/**
 * The two failures of a pull that the kubelet tells apart by the beginning of their text.
 *
 * @module
 */
import { PermissionDeniedError, SauropodError, UnavailableError } from "../errors/mod.ts";
import { isConnectionRefused, PolicyRejectedError } from "../image/mod.ts";

/** The failure as the kubelet wants it; any other unchanged (k8s.io/cri-api/pkg/errors). */
export function kubeletPullError(error: unknown): unknown {
  if (!(error instanceof SauropodError)) return error;
  const details = { ...error.details, cause: error };
  if (isConnectionRefused(error)) {
    return new UnavailableError(`RegistryUnavailable: ${error.message}`, details);
  }
  if (error instanceof PolicyRejectedError) {
    return new PermissionDeniedError(`SignatureValidationFailed: ${error.message}`, details);
  }
  return error;
}
