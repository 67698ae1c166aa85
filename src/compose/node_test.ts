import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { createLinuxKernel } from "../sys/mod.ts";
import { hostDevices } from "./node.ts";

const devices = hostDevices(createLinuxKernel());
const fieldOf = (index: number) => `config.devices[${index}].host_path`;
const device = (hostPath: string, containerPath = "") => ({
  hostPath,
  containerPath,
  permissions: "rwm",
});

Deno.test("a device without a container path is at its own path in the container", () => {
  const [found] = devices.resolve([device("/dev/null")], fieldOf);
  assert.equal(found?.containerPath, "/dev/null");
  assert.equal(found.shadowsHostDevice, false);
  assert.equal(
    devices.resolve([device("/dev/null", "/dev/x")], fieldOf)[0]?.containerPath,
    "/dev/x",
  );
});

Deno.test("a request for the devices of a whole file system is refused before it is walked", () => {
  assert.throws(
    () => devices.resolve([device("/usr")], fieldOf),
    (error: unknown) =>
      error instanceof InvalidArgumentError &&
      error.details.field === "config.devices[0].host_path",
  );
});
