import assert from "node:assert/strict";
import { EPOLLIN } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";

const kernel = createLinuxKernel();

Deno.test("epoll tells what is ready and forgets what was removed", () => {
  using epoll = kernel.epollCreate();
  using event = kernel.eventfd(0);
  kernel.epollAdd(epoll.number, event.number, EPOLLIN, 0xfedcba9876543210n);
  assert.deepEqual(kernel.epollTake(epoll.number, 8), []);
  kernel.write(event.number, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.deepEqual(kernel.epollTake(epoll.number, 8), [
    { events: EPOLLIN, data: 0xfedcba9876543210n },
  ]);
  kernel.epollRemove(epoll.number, event.number);
  assert.deepEqual(kernel.epollTake(epoll.number, 8), []);
});
