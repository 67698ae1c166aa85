/** What the kernel tells by itself: inotify, epoll, eventfd. @module */
import { shown } from "../../errors/mod.ts";
import { cPath } from "../bytes_path.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../constants.ts";
import type { EventCalls } from "../kernel.ts";
import { type Calls, descriptor } from "./calls.ts";
import { decodeEpollEvents, encodeEpollEvent, EPOLL_EVENT_SIZE } from "./structs.ts";

export function eventCalls(calls: Calls): EventCalls {
  return {
    inotifyInit() {
      return calls.fd("inotify_init1", () => "", (c) => c.inotify_init1(O_CLOEXEC | O_NONBLOCK));
    },

    inotifyAddWatch(fd, path, mask) {
      const name = cPath(path);
      return calls.check(
        "inotify_add_watch",
        () => shown(path),
        (c) => c.inotify_add_watch(fd, name, mask),
      );
    },

    inotifyRemoveWatch(fd, watch) {
      calls.check("inotify_rm_watch", () => `watch ${watch}`, (c) => c.inotify_rm_watch(fd, watch));
    },

    epollCreate() {
      return calls.fd("epoll_create1", () => "", (c) => c.epoll_create1(O_CLOEXEC));
    },

    epollAdd(epfd, fd, events, data) {
      const event = encodeEpollEvent(events, data);
      calls.check("epoll_ctl", () => descriptor(fd), (c) => c.epoll_ctl(epfd, 1, fd, event));
    },

    epollRemove(epfd, fd) {
      calls.check("epoll_ctl", () => descriptor(fd), (c) => c.epoll_ctl(epfd, 2, fd, null));
    },

    epollTake(epfd, limit) {
      const out = new Uint8Array(EPOLL_EVENT_SIZE * limit);
      const count = calls.check(
        "epoll_wait",
        () => descriptor(epfd),
        (c) => c.epoll_wait(epfd, out, limit, 0),
      );
      return decodeEpollEvents(out, count);
    },

    eventfd(initial) {
      return calls.fd("eventfd", () => "", (c) => c.eventfd(initial, O_CLOEXEC | O_NONBLOCK));
    },
  };
}
