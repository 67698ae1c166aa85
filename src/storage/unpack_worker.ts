/** Worker that unpacks and copies layers; see {@link UnpackOperations}. @module */
import { CLONE_FS, createLinuxKernel, serveWorker } from "../sys/mod.ts";
import { mergeLayers } from "./layer_merge.ts";
import type { UnpackOperations } from "./storage_operations.ts";
import { unpack } from "./unpacking.ts";

const kernel = createLinuxKernel();
// The umask is shared by all threads until this; files get the modes that their archive says.
kernel.unshare(CLONE_FS);
kernel.umask(0);

serveWorker<UnpackOperations>({
  merge: (request, { signal }) => mergeLayers(kernel, request, signal),
  unpack: (request, { signal, emit, ask }) =>
    unpack(request, { kernel, signal, ask, onProgress: emit }),
});
