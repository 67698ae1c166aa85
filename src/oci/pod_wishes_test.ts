import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { parseDeviceAnnotation } from "./device_entries.ts";
import { shmSizeWish, umaskWish, unifiedWish, wishOf } from "./pod_wishes.ts";

const OLD = "io.kubernetes.cri-o.umask";
const NEW = "umask.crio.io";
const rules = (allowed: string[], defaults: Record<string, string> = {}) => ({ allowed, defaults });

Deno.test("a wish counts where the handler allows its very name; the new name wins", () => {
  const both = { [OLD]: "1", [NEW]: "2" };
  assert.equal(umaskWish(both, rules([OLD, NEW])), 2);
  assert.equal(umaskWish(both, rules([OLD])), 1);
  assert.equal(umaskWish(both, rules([])), undefined);
  for (const near of ["", "umask", "umask.crio.i", `${NEW}/`, `${NEW}.x`, NEW.toUpperCase()]) {
    assert.equal(umaskWish(both, rules([near])), undefined, near);
  }
});

Deno.test("a handler's default counts unasked, and gives way to what a pod may ask", () => {
  assert.equal(umaskWish({}, rules([], { [OLD]: "7" })), 7);
  assert.equal(umaskWish({ [NEW]: "1" }, rules([NEW], { [OLD]: "7" })), 1);
  assert.equal(umaskWish({ [NEW]: "1" }, rules([], { [OLD]: "7" })), 7);
});

Deno.test("a wish for one container is not one for another, nor for all", () => {
  const annotations = { "unified-cgroup.crio.io/a": "x.y=1" };
  const allowed = rules(["unified-cgroup.crio.io"]);
  assert.equal(wishOf("unifiedCgroup", annotations, allowed, "a")?.value, "x.y=1");
  assert.equal(wishOf("unifiedCgroup", annotations, allowed, "b"), undefined);
  assert.equal(wishOf("unifiedCgroup", { "unified-cgroup.crio.io": "" }, allowed, "a"), undefined);
});

Deno.test("values of unified files are plain or base64 of text, told apart safely", () => {
  const value = `memory.high=1000;memory.max=max; io.max=${btoa("8:0 rbps=1")};;a.b=`;
  const asked = unifiedWish(
    { "unified-cgroup.crio.io/c": value },
    rules(["unified-cgroup.crio.io"]),
    {
      container: "c",
      cgroupVersion: 2,
    },
  );
  assert.deepEqual(asked, {
    "memory.high": "1000",
    "memory.max": "max",
    "io.max": "8:0 rbps=1",
    "a.b": "",
  });
});

Deno.test("unified files are refused on cgroup version 1, and in another form", () => {
  const allowed = rules(["unified-cgroup.crio.io"]);
  const ask = (value: string, cgroupVersion: 1 | 2) => () =>
    unifiedWish({ "unified-cgroup.crio.io/c": value }, allowed, { container: "c", cgroupVersion });
  assert.throws(ask("memory.high=1", 1), FailedPreconditionError);
  for (const value of ["memory.high", "=1"]) assert.throws(ask(value, 2), InvalidArgumentError);
});

Deno.test("the size of /dev/shm is a quantity above zero that the kernel can hold", () => {
  const ask = (value: string) => () =>
    shmSizeWish({ "shm-size.crio.io": value }, rules(["shm-size.crio.io"]));
  assert.equal(ask("64Mi")(), 64n << 20n);
  assert.equal(ask("1.5G")(), 1_500_000_000n);
  for (const value of ["0", "-1", "", "64MiB", "1,mode=777", "9Ei", "1e99"]) {
    assert.throws(ask(value), InvalidArgumentError, value);
  }
});

Deno.test("a devices annotation names only sources that the node allows, however they are written", () => {
  const parse = (text: string) =>
    parseDeviceAnnotation(text, { field: "f", allowed: ["/dev/fuse"] }).map(({ hostPath }) =>
      hostPath
    );
  assert.deepEqual(parse(" /dev/fuse:r ,, /dev//fuse:/dev/x"), ["/dev/fuse", "/dev/fuse"]);
  for (
    const text of [
      "/dev/mem",
      "/dev/fuse,/dev/mem",
      "/dev/fuse/../mem",
      "/dev/fuse2",
      "/dev/fuse:x",
    ]
  ) {
    assert.throws(() => parse(text), InvalidArgumentError, text);
  }
  assert.throws(() => parse("/dev/fuse,".repeat(300)), InvalidArgumentError);
});
