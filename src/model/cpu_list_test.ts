import assert from "node:assert/strict";
import { isCpuList } from "./cpu_list.ts";

Deno.test("isCpuList() takes numbers and ascending ranges, and nothing that only the kernel knows", () => {
  for (const list of ["0", "0-3", "0-3,8", "7,1-1", "0-999999"]) assert.ok(isCpuList(list), list);
  for (
    const list of [
      "",
      ",",
      "0,",
      "3-0",
      "0-",
      "-1",
      "0-1-2",
      "all",
      "0-31:2/4",
      "0 ,1",
      "0\n",
      "0x1",
    ]
  ) {
    assert.ok(!isCpuList(list), list);
  }
});
