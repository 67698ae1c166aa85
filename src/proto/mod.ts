/**
 * The messages and services of the Container Runtime Interface, `runtime.v1`, generated from
 * `proto/` by `scripts/proto`.
 *
 * Every message is plain data with `encode`, `decode`, `create` and `fromPartial` beside it under the
 * same name. 64-bit integers are bigints. An enum field may hold a number that the enum does not
 * have; `cri/` refuses those. A map is an ordinary object: read it with `Object.hasOwn` or
 * `Object.entries`, since its keys come from outside, `constructor` and `__proto__` among them.
 *
 * @module
 */
export * from "./gen/runtime_v1.ts";
