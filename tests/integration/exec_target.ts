/** A container for commands to run in, and what they leave behind there. @module */
import type { JsonObject } from "../../src/model/mod.ts";
import type { ContainerPlace } from "../../src/runtime/mod.ts";
import type { Kernel } from "../../src/sys/mod.ts";
import { RuntimeFixture, type TestContainer } from "./runtime_fixture.ts";

/** A container that sleeps; disposing removes it. */
export class ExecTarget implements AsyncDisposable {
  private constructor(readonly fixture: RuntimeFixture, readonly container: TestContainer) {}

  static async open(
    args: readonly string[] = ["sleep", "1000"],
    kernel?: Kernel,
  ): Promise<ExecTarget> {
    const fixture = await RuntimeFixture.open({}, kernel);
    return new ExecTarget(fixture, await fixture.run({ args }));
  }

  /** What every request for a command has: a shell with `script`, in the container. */
  command(script: string): {
    readonly place: ContainerPlace;
    readonly args: readonly string[];
    readonly process: JsonObject;
  } {
    return {
      place: this.container.place,
      args: ["sh", "-c", script],
      process: this.fixture.process(["ignored"]),
    };
  }

  /** Ids of the living processes in the container's cgroup and below it. */
  processes(): string[] {
    return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
      if (!/^\d+$/.test(name)) return false;
      try {
        return Deno.readTextFileSync(`/proc/${name}/cgroup`)
          .includes(this.container.place.cgroupPath) &&
          !/\) [ZX]/.test(Deno.readTextFileSync(`/proc/${name}/stat`));
      } catch {
        return false;
      }
    });
  }

  /** Cgroups of commands that are there still. */
  cgroups(): string[] {
    return [...Deno.readDirSync(`/sys/fs/cgroup/freezer${this.container.place.cgroupPath}`)]
      .filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  }

  /** As {@link ExecTarget.cgroups}, and the files of commands. */
  leftovers(): string[] {
    const files = [...Deno.readDirSync(`${this.fixture.root}/exec`)].map(({ name }) => name);
    return [...this.cgroups(), ...files];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fixture[Symbol.asyncDispose]();
  }
}
