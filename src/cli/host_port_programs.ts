/** The programs of the node that open host ports, and what does not work without each. @module */
import type { Configuration } from "../config/mod.ts";
import type { Finding } from "./finding.ts";

interface HostPortProgram {
  readonly name: string;
  /** Debian's name of what brings it. */
  readonly package: string;
  readonly without: string;
}

const PROGRAMS: readonly HostPortProgram[] = [
  {
    name: "nft",
    package: "nftables",
    without: "pods with host ports are refused, unless the network has the portmap plugin",
  },
  {
    name: "conntrack",
    package: "conntrack",
    without:
      "packets of UDP clients that go on sending to a host port may go to a pod that is gone",
  },
];

/** @param find absolute path of a program where the server looks for it */
export function hostPortPrograms(
  { disable_hostport_mapping: unmapped }: Pick<
    Configuration["runtime"],
    "disable_hostport_mapping"
  >,
  find: (name: string) => string | undefined,
): Finding[] {
  const subject = "host ports";
  if (unmapped) return [{ subject, state: "ok", message: "left unmapped by the configuration" }];
  const findings = PROGRAMS.filter(({ name }) => find(name) === undefined)
    .map((program): Finding => ({
      subject,
      state: "warning",
      message: `there is no ${program.name}: ${program.without}`,
      remedy: `apt-get install ${program.package}`,
    }));
  return findings.length > 0
    ? findings
    : [{ subject, state: "ok", message: `opened by ${find("nft")}, or by a plugin` }];
}
