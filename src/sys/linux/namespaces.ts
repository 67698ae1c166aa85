/** Mounts and namespaces, of the calling thread. @module */
import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import { cPath, encodePath } from "../bytes_path.ts";
import { AF_INET, O_CLOEXEC, SOCK_DGRAM } from "../constants.ts";
import type { NamespaceCalls } from "../kernel.ts";
import { type Calls, descriptor } from "./calls.ts";

const SIOCGIFFLAGS = 0x8913n;
const SIOCSIFFLAGS = 0x8914n;
const IFNAMSIZ = 16;
const IFF_UP = 1;

export function namespaceCalls(calls: Calls): NamespaceCalls {
  return {
    mount(source, target, type, flags, data) {
      const [from, to] = [cPath(source), cPath(target)];
      const kind = type === null ? null : cPath(type);
      const options = data === null ? null : cPath(data);
      calls.check(
        "mount",
        () => `${shown(source)} on ${shown(target)}`,
        (c) => c.mount(from, to, kind, flags, options),
      );
    },

    umount2(target, flags) {
      const name = cPath(target);
      calls.check("umount2", () => shown(target), (c) => c.umount2(name, flags));
    },

    unshare(flags) {
      calls.check("unshare", () => `0x${flags.toString(16)}`, (c) => c.unshare(flags));
    },

    setns(fd, type) {
      calls.check("setns", () => descriptor(fd), (c) => c.setns(fd, type));
    },

    sethostname(name) {
      const bytes = encodePath(name);
      calls.check(
        "sethostname",
        () => shown(name),
        (c) => c.sethostname(bytes, BigInt(bytes.length)),
      );
    },

    setdomainname(name) {
      const bytes = encodePath(name);
      calls.check(
        "setdomainname",
        () => shown(name),
        (c) => c.setdomainname(bytes, BigInt(bytes.length)),
      );
    },

    bringInterfaceUp(name) {
      const nameBytes = cPath(name);
      if (nameBytes.length > IFNAMSIZ) {
        throw new InvalidArgumentError(`Interface name ${shown(name)} is longer than 15 bytes`, {
          value: name,
        });
      }
      const request = new Uint8Array(40);
      request.set(nameBytes);
      const what = () => `interface ${shown(name)}`;
      using control = calls.fd(
        "socket",
        what,
        (c) => c.socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0),
      );
      calls.check("ioctl", what, (c) => c.ioctl(control.number, SIOCGIFFLAGS, request));
      const flags = new DataView(request.buffer);
      flags.setUint16(IFNAMSIZ, flags.getUint16(IFNAMSIZ, true) | IFF_UP, true);
      calls.check("ioctl", what, (c) => c.ioctl(control.number, SIOCSIFFLAGS, request));
    },
  };
}
