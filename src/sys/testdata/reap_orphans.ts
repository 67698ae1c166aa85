/** Starts programs that leave children behind, and tells what became of them. @module */
import { createLinuxKernel } from "../linux.ts";
import { PosixSpawner } from "../posix_spawn.ts";

const spawner = new PosixSpawner(createLinuxKernel());
spawner.reapOrphans();
const folder = await Deno.makeTempDir();

/** A program that ends as `end` says once it has been told to by {@link release}. */
const waiting = (name: string, end: string) =>
  `mkfifo ${folder}/${name} && read _ <${folder}/${name}; ${end}`;

function sh(script: string): ReturnType<PosixSpawner["start"]> {
  return spawner.start({
    path: "/bin/sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "ignore", "ignore"],
    detached: true,
  });
}

/**
 * The pid of an orphan that ends when it is told to. Not before its parent has: a shell reaps a child that
 * ends while it still has a command to run, and then there is no orphan.
 */
async function leave(name: string, end: string): Promise<number> {
  await sh(`(exec sh -c '${waiting(name, end)}') & echo $! >${folder}/${name}.pid`).ended;
  return Number(await Deno.readTextFile(`${folder}/${name}.pid`));
}

/** Waits for the program to listen. */
async function release(name: string): Promise<void> {
  await until(() => exists(`${folder}/${name}`));
  await Deno.writeTextFile(`${folder}/${name}`, "\n");
}

async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; !isSo() && performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

async function refusal(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return "";
  } catch (error) {
    return String(error);
  }
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

{
  // One that ends before it is asked for, and one that ends later; an expectation is for one.
  using overlapping = spawner.expectOrphan();
  using expected = spawner.expectOrphan();
  const gone = await leave("early", "exit 3");
  await release("early");
  await until(() => !exists(`/proc/${gone}`));
  const early = await expected.adopt(gone);
  using another = spawner.expectOrphan();
  const adopted = another.adopt(await leave("late", "kill -9 $$"));
  await release("late");
  const late = await adopted;
  const stranger = await refusal(() => expected.adopt(1));
  const taken = await refusal(() => overlapping.adopt(gone));
  console.log(JSON.stringify({ early, late, stranger, taken }));
}
// Nobody asks for these; the ends of our own children stay theirs.
const own = sh(waiting("own", "exit 7"));
const names = Array.from({ length: 5 }, (_, n) => `n${n}`);
await Promise.all(names.map((name) => leave(name, "exit 1")));
await Promise.all(names.map(release));
await release("own");
const ending = await own.ended;
// Those that have just ended are reaped in a later turn.
await until(() => zombiesOfOurs().length === 0);
console.log(JSON.stringify({ ending, zombies: zombiesOfOurs() }));
await Deno.remove(folder, { recursive: true });
Deno.exit(0);
