import { UnimplementedError } from "../../errors/mod.ts";
import type { Command } from "../command.ts";
import { tellNote } from "../failure.ts";

/** `sauropod wipe`: for units that call `crio wipe` before the server. */
export const wipe: Command = {
  name: "wipe",
  usage: "[OPTIONS]",
  summary: "do nothing: the server tells by itself what a reboot has ended",
  description: "Here so that a unit which calls crio wipe goes on working.",
  options: { force: { type: "boolean", short: "f", summary: "not built" } },
  positionals: [0, 0],
  run(invocation, { terminal }) {
    if (invocation.flag("force")) {
      throw new UnimplementedError("wipe --force is not built", {
        remedy: "remove all pods and images of the running server: " +
          "sauropod rm -paf; sauropod rmi -a",
      });
    }
    tellNote(terminal, "nothing is wiped: each start records what a reboot has ended");
    return Promise.resolve(0);
  },
};
