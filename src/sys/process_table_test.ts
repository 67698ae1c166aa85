import assert from "node:assert/strict";
import { isHeeded } from "./process_table.ts";

const STATUS = `Name:\tsh
SigBlk:\t0000000000004000
SigIgn:\t0000000000000004
SigCgt:\t8000000000010002
CapInh:\t0000000000004000
`;

Deno.test("a signal is heeded that is blocked, ignored or caught, up to the last of them", () => {
  const heeded = [1, 2, 3, 9, 15, 16, 17, 63, 64].filter((signal) => isHeeded(STATUS, signal));
  assert.deepEqual(heeded, [2, 3, 15, 17, 64]);
  assert.ok(!isHeeded("", 15));
});
