/** What `check` tells about the node. @module */

/** One thing looked at. `missing` is essential: without it no pod runs. */
export interface Finding {
  readonly subject: string;
  readonly state: "ok" | "warning" | "missing";
  readonly message: string;
  readonly remedy?: string;
}
