import assert from "node:assert/strict";
import { UnimplementedError } from "../errors/mod.ts";
import { registryCerts } from "./registry_certs.ts";

Deno.test("registryCerts() reads the first folder for the host and refuses client certificates", async () => {
  const root = await Deno.makeTempDir();
  try {
    const [one, two] = [`${root}/one`, `${root}/two`];
    await Deno.mkdir(`${one}/a.example:5000`, { recursive: true });
    await Deno.mkdir(`${two}/b.example`, { recursive: true });
    await Deno.writeTextFile(`${one}/a.example:5000/ca.crt`, "CA");
    await Deno.writeTextFile(`${one}/a.example:5000/readme`, "x");
    await Deno.writeTextFile(`${two}/b.example/client.cert`, "x");
    const certs = (host: string) => registryCerts([one, two], host);
    assert.deepEqual(await certs("a.example:5000"), ["CA"]);
    assert.equal(await certs("a.example"), undefined);
    await assert.rejects(() => certs("b.example"), UnimplementedError);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
