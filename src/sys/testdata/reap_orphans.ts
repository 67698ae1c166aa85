/** Starts programs that leave children behind, and tells what became of them. @module */
import { createLinuxKernel } from "../linux.ts";
import { PosixSpawner } from "../posix_spawn.ts";

const spawner = new PosixSpawner(createLinuxKernel());
spawner.reapOrphans();

function sh(script: string): ReturnType<PosixSpawner["start"]> {
  return spawner.start({
    path: "/bin/sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "ignore", "ignore"],
    detached: true,
  });
}

function zombiesOfOurs(): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return Deno.readTextFileSync(`/proc/${name}/stat`).includes(`) Z ${Deno.pid} `);
    } catch {
      return false; // it has ended
    }
  });
}

const folder = await Deno.makeTempDir();
const pidOf = async (name: string) => Number(await Deno.readTextFile(`${folder}/${name}`));
const leave = (name: string, script: string) =>
  sh(`(exec sh -c '${script}') & echo $! >${folder}/${name}`);

{
  // One that ends before it is asked for, and one that ends later; an expectation is for one.
  using expected = spawner.expectOrphan();
  await leave("early", "exit 3").ended;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const early = await expected.adopt(await pidOf("early"));
  using another = spawner.expectOrphan();
  await leave("late", "sleep 0.3; kill -9 $$").ended;
  const late = await another.adopt(await pidOf("late"));
  let stranger = "";
  try {
    await expected.adopt(1);
  } catch (error) {
    stranger = String(error);
  }
  console.log(JSON.stringify({ early, late, stranger }));
}
// Nobody asks for these; the ends of our own children stay theirs.
const own = sh("sleep 0.4; exit 7");
await Promise.all(Array.from({ length: 5 }, (_, n) => leave(`n${n}`, "sleep 0.2").ended));
const ending = await own.ended;
// Those that have just ended are reaped in a later turn.
let zombies = zombiesOfOurs();
for (const end = performance.now() + 30_000; zombies.length > 0 && performance.now() < end;) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  zombies = zombiesOfOurs();
}
console.log(JSON.stringify({ ending, zombies }));
await Deno.remove(folder, { recursive: true });
Deno.exit(0);
