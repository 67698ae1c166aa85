/** What the runtime tells about itself. @module */
export * from "./log.ts";
