import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { imageVolumes } from "./image_volumes.ts";

Deno.test("imageVolumes() cleans paths as text, so that none climbs above the root", () => {
  const volumes = ["../../etc/x", "/data/", "/data/./", "rel/../other", "/a/../../b"];
  assert.deepEqual(imageVolumes({ volumes }, []), ["/b", "/data", "/etc/x", "/other"]);
});

Deno.test("imageVolumes() leaves out the root, the kernel's trees and files of the runtime", () => {
  const volumes = ["", "/", "..", "/proc", "/proc/self/fd", "/sys/fs", "/dev/shm", "/etc/passwd"];
  assert.deepEqual(imageVolumes({ volumes: [...volumes, "/process"] }, []), ["/process"]);
});

Deno.test("imageVolumes() leaves out what lies at or below a mount of the request, not above", () => {
  const volumes = ["/data", "/data/sub", "/dataset", "/"];
  assert.deepEqual(imageVolumes({ volumes }, ["/data/"]), ["/dataset"]);
  assert.deepEqual(imageVolumes({ volumes: ["/var"] }, ["/var/lib"]), ["/var"]);
});

Deno.test("imageVolumes() refuses a path with a line break or NUL", () => {
  for (const path of ["/a\nb", "/a\rb", "/a\0b"]) {
    assert.throws(() => imageVolumes({ volumes: [path] }, []), InvalidArgumentError);
  }
});
