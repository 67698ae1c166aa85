import { later, text } from "../keys.ts";
import { oneOf } from "../validators.ts";

/** `[sauropod.checkpoint_restore]` */
export const CHECKPOINT_RESTORE = {
  container_level_enabled: later(text({
    default: "checkpoint_restore",
    meaning: "Whether containers can be checkpointed and restored.",
    allowed: "none, checkpoint_only, checkpoint_restore",
    check: oneOf("none", "checkpoint_only", "checkpoint_restore"),
    harmless: ["none"],
    flags: ["checkpoint-restore-container-level-enabled"],
    env: ["CONTAINER_CHECKPOINT_RESTORE_CONTAINER_LEVEL_ENABLED"],
  })),
} as const;
