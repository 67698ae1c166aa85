import assert from "node:assert/strict";
import { parseDeviceEntry } from "./device_entry.ts";

Deno.test("parseDeviceEntry() reads source, destination below /dev/ and permissions", () => {
  const whole = { hostPath: "/dev/a", containerPath: "/dev/b", permissions: "r" };
  assert.deepEqual(parseDeviceEntry("/dev/a:/dev/b:r"), whole);
  assert.deepEqual(parseDeviceEntry("/dev//x/../a:/dev/b/:r"), whole);
  assert.deepEqual(parseDeviceEntry("/dev/a"), {
    hostPath: "/dev/a",
    containerPath: "/dev/a",
    permissions: "rwm",
  });
  assert.deepEqual(parseDeviceEntry("/dev/a:rw"), {
    hostPath: "/dev/a",
    containerPath: "/dev/a",
    permissions: "rw",
  });
});

Deno.test("parseDeviceEntry() says what is wrong with a text that is no device", () => {
  for (const text of ["/dev/a:/dev/../b", "/dev/a:/dev", "/x"]) {
    assert.equal(parseDeviceEntry(text), "must have its destination below /dev/", text);
  }
  for (
    const text of ["", "dev/a", "/dev/a:rr", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a\n"].concat(
      "/dev/a:/dev/b:/dev/c:r",
    )
  ) {
    assert.match(String(parseDeviceEntry(text)), /^must be source/, JSON.stringify(text));
  }
});
