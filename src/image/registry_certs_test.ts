import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { registryCerts } from "./registry_certs.ts";

const PEM = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;

async function withFolders(act: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await act(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function write(folder: string, ...names: readonly string[]): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const name of names) await Deno.writeTextFile(`${folder}/${name}`, PEM(name));
}

Deno.test("registryCerts() reads the first folder for the host: CAs, and a certificate with its key", () =>
  withFolders(async (root) => {
    const directories = [`${root}/a`, `${root}/b`];
    assert.deepEqual(await registryCerts(directories, "r.io"), { caCerts: [] });
    await write(`${root}/b/r.io`, "1.crt", "2.crt", "me.cert", "me.key", "README");
    assert.deepEqual(await registryCerts(directories, "r.io"), {
      caCerts: [PEM("1.crt"), PEM("2.crt")],
      client: { cert: PEM("me.cert"), key: PEM("me.key") },
    });
    // The folder of a host with a port is another one.
    assert.deepEqual(await registryCerts(directories, "r.io:5000"), { caCerts: [] });
    await write(`${root}/a/r.io`, "own.crt");
    assert.deepEqual(await registryCerts(directories, "r.io"), { caCerts: [PEM("own.crt")] });
  }));

Deno.test("registryCerts() refuses half of a pair, two pairs, and what is not PEM", () =>
  withFolders(async (root) => {
    const cases: Record<string, readonly string[]> = {
      "has no key a.key": ["a.cert"],
      "has no certificate a.cert": ["a.key"],
      "two client certificates": ["a.cert", "a.key", "b.cert", "b.key"],
    };
    for (const [why, names] of Object.entries(cases)) {
      const folder = `${root}/${why.replaceAll(" ", "-")}`;
      await write(`${folder}/r.io`, ...names);
      await assert.rejects(
        () => registryCerts([folder], "r.io"),
        (error: unknown) => error instanceof FailedPreconditionError && error.message.includes(why),
        why,
      );
    }
    await Deno.mkdir(`${root}/pem/r.io`, { recursive: true });
    await Deno.writeTextFile(`${root}/pem/r.io/ca.crt`, "DER");
    await assert.rejects(() => registryCerts([`${root}/pem`], "r.io"), /not PEM/);
  }));
