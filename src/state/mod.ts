/** The one record of what exists: journal, records, the step runner, recovery. @module */
export type { Journal, Resource, ResourceRow, ResourceType, UndoContext } from "./journal.ts";
export type { DurableRecordTable, RecordTable } from "./records.ts";
export type { Intent, Plan, Step, StepRunner, StepTiming } from "./steps.ts";
export { type DatabaseOrigin } from "./database.ts";
export {
  type Checkpointer,
  PodState,
  type PodStateOptions,
  type PodTransaction,
  type SpaceReleaser,
  type SyncJournal,
} from "./pod_records.ts";
export {
  ActiveFaultGates,
  type FaultAction,
  type FaultGates,
  type FaultRule,
  type FaultSpec,
  NO_FAULT_GATES,
  parseFaultSpec,
} from "./fault_gates.ts";
export { ResourceTypes } from "./resource_types.ts";
export { type LeftResource, Undoer, type UndoerOptions } from "./undoing.ts";
export { JournalStepRunner, type StepRunnerOptions } from "./step_runner.ts";
export {
  decodeRecord,
  encodeRecord,
  type StoredRecord,
  type StoredResource,
} from "./record_file.ts";
export { RecordFiles, type RecordFilesOptions, type ScannedRecord } from "./record_files.ts";
export { rebuild, type RebuildReport, type RebuildSource } from "./rebuild.ts";
export { recover, type RecoveredResource, type RecoveryOptions } from "./recovery.ts";
export {
  PendingCleanup,
  type PendingCleanupOptions,
  type PendingResource,
} from "./pending_cleanup.ts";
export { type ReserveOptions, type SpaceReport, SpaceReserve } from "./reserve.ts";
export { DurableWriter } from "./durable_writer.ts";
export {
  type ImageChange,
  ImageState,
  type ImageStateOptions,
  type ImageTable,
} from "./image_records.ts";
