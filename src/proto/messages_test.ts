import assert from "node:assert/strict";
import {
  ContainerStatus,
  ImageServiceDefinition,
  LinuxContainerResources,
  PodSandboxConfig,
  PsiStats,
  RuntimeServiceDefinition,
} from "./mod.ts";

Deno.test("The services have the 43 methods of runtime.v1", () => {
  const names = [RuntimeServiceDefinition, ImageServiceDefinition]
    .flatMap(({ methods }) => Object.values(methods).map(({ name }) => name));
  assert.equal(names.length, 43);
  assert.equal(new Set(names).size, 43);
  assert.equal(RuntimeServiceDefinition.fullName, "runtime.v1.RuntimeService");
  assert.equal(ImageServiceDefinition.fullName, "runtime.v1.ImageService");
});

Deno.test("A map key __proto__ is a key like others and changes no prototype", () => {
  // labels = field 6 of PodSandboxConfig, an entry message {1: key, 2: value}.
  const entry = (key: string, value: string) => {
    const k = new TextEncoder().encode(key), v = new TextEncoder().encode(value);
    const body = [0x0a, k.length, ...k, 0x12, v.length, ...v];
    return [0x32, body.length, ...body];
  };
  const bytes = Uint8Array.from([
    ...entry("__proto__", "x"),
    ...entry("constructor", "y"),
    ...entry("app", "z"),
  ]);
  const { labels } = PodSandboxConfig.decode(bytes);
  // Deno has no Object.prototype.__proto__ to assign to; this fails where one is brought back.
  assert.deepEqual(Object.entries(labels), [["__proto__", "x"], ["constructor", "y"], [
    "app",
    "z",
  ]]);
  assert.equal(Object.getPrototypeOf(labels), Object.prototype);
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
  const again = PodSandboxConfig.decode(
    PodSandboxConfig.encode(PodSandboxConfig.fromPartial({ labels })).finish(),
  );
  assert.deepEqual(Object.entries(again.labels), Object.entries(labels));
});

Deno.test("64-bit integers survive at both ends of their range", () => {
  for (const value of [-(2n ** 63n), -1n, 0n, 2n ** 53n + 1n, 2n ** 63n - 1n]) {
    const message = LinuxContainerResources.fromPartial({ cpuQuota: value });
    const bytes = LinuxContainerResources.encode(message).finish();
    assert.equal(LinuxContainerResources.decode(bytes).cpuQuota, value);
  }
});

Deno.test("An enum value that is not known stays the number it is", () => {
  const bytes = Uint8Array.from([0x18, 0x63]); // field 3, state = 99
  assert.equal(ContainerStatus.decode(bytes).state as number, 99);
});

Deno.test("Negative exit codes and the odd field names of PSI are carried", () => {
  const status = ContainerStatus.fromPartial({ exitCode: -1 });
  assert.equal(ContainerStatus.decode(ContainerStatus.encode(status).finish()).exitCode, -1);
  const psi = PsiStats.fromPartial({ Full: { Total: 7n, Avg10: 0.5 } });
  assert.deepEqual(PsiStats.decode(PsiStats.encode(psi).finish()), psi);
});
