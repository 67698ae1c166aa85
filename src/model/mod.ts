/** The vocabulary that every room shares: identities, time, JSON. @module */
export * from "./clock.ts";
export * from "./ids.ts";
export type { JsonObject, JsonValue } from "./json.ts";
