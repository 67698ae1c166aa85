/** A folder for one test of `sys/`. @module */

export async function withRoot(test: (root: string) => void | Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "sauropod-sys-" });
  try {
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}
