/** Processes: pidfds, signals, prctl(2). @module */
import type { ProcessCalls } from "../kernel.ts";
import { type Calls, descriptor } from "./calls.ts";
import { SYS_pidfd_open, SYS_pidfd_send_signal } from "./libc.ts";

export function processCalls(calls: Calls): ProcessCalls {
  return {
    pidfdOpen(pid) {
      const { raw } = calls.libc;
      return calls.fd(
        "pidfd_open",
        () => `process ${pid}`,
        () => raw.pidfd(SYS_pidfd_open, BigInt(pid), 0n, 0n, 0n),
      );
    },

    pidfdSendSignal(pidfd, signal) {
      const { raw } = calls.libc;
      calls.check(
        "pidfd_send_signal",
        () => `signal ${signal} to ${descriptor(pidfd)}`,
        () => raw.pidfd(SYS_pidfd_send_signal, BigInt(pidfd), BigInt(signal), 0n, 0n),
      );
    },

    kill(pid, signal) {
      calls.check("kill", () => `signal ${signal} to process ${pid}`, (c) => c.kill(pid, signal));
    },

    getpid() {
      return calls.libc.call.getpid();
    },

    prctl(option, arg2, arg3 = 0n) {
      return calls.check(
        "prctl",
        () => `option ${option}`,
        (c) => c.prctl(option, arg2, arg3, 0n, 0n),
      );
    },
  };
}
