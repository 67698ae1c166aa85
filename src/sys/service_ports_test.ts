import assert from "node:assert/strict";
import { withRoot } from "./_test_root.ts";
import { servicePort } from "./service_ports.ts";

Deno.test("servicePort() finds a port by name or alias, for its protocol alone", () =>
  withRoot(async (root) => {
    const file = `${root}/services`;
    await Deno.writeTextFile(
      file,
      "# http 1/tcp\nhttp\t\t80/tcp\tWWW www-http # 81/tcp last\nntp 123/udp\n" +
        "domain 53/tcp\ndomain 53/udp\nwrong 99999/tcp\nwrong\n\n  odd   70/tcp\n",
    );
    const port = (name: string, protocol: "tcp" | "udp" = "tcp") =>
      servicePort(name, protocol, file);
    assert.equal(await port("http"), 80);
    assert.equal(await port("HTTP"), 80);
    assert.equal(await port("www"), 80);
    assert.equal(await port("odd"), 70);
    assert.equal(await port("ntp"), undefined);
    assert.equal(await port("ntp", "udp"), 123);
    for (const name of ["wrong", "last", "", "#", "80/tcp"]) {
      assert.equal(await port(name), undefined, name);
    }
    assert.equal(await servicePort("http", "tcp", `${root}/none`), undefined);
    await assert.rejects(servicePort("http", "tcp", root));
  }));
