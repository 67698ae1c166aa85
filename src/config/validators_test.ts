import assert from "node:assert/strict";
import { device, portText, ulimit } from "./validators.ts";

Deno.test("a port as text is a number up to 65535 or the name of a service", () => {
  for (const value of ["", "0", "10010", "65535", "http", "http-alt", "WWW", "9pfs"]) {
    assert.equal(portText(value), undefined, value);
  }
  for (const value of ["65536", "-1", "1.5", "80 ", "http alt", "/etc/passwd", "--"]) {
    assert.match(portText(value) ?? "", /^must be a port number/, value);
  }
});

Deno.test("devices and ulimits are checked by their parsers, in a device's case with its paths cleaned", () => {
  assert.equal(device("/dev/fuse"), undefined);
  assert.match(device("/dev/fuse:/dev/../etc/x") ?? "", /below \/dev\//);
  assert.equal(ulimit("nofile=1024:2048"), undefined);
  assert.match(ulimit("nofile=2:1") ?? "", /above the hard one/);
});
