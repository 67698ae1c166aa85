import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { DNSConfig } from "../proto/mod.ts";
import { hostsFile, podHostname, resolvConfFile } from "./pod_files.ts";

const naming = { given: "", sandboxId: "0123456789abcdef", node: "node-1", hostNetwork: false };

Deno.test("a pod's host name is the one given, else the node's, else the start of its id", () => {
  assert.equal(podHostname({ ...naming, given: "web-0.x" }), "web-0.x");
  assert.equal(podHostname({ ...naming, hostNetwork: true }), "node-1");
  assert.equal(podHostname(naming), "0123456789ab");
});

for (const given of ["a\nb", "a b", "a/b", "-a", "a.", "a\0", "ü", "x".repeat(65), "a:b"]) {
  Deno.test(`the host name ${JSON.stringify(given)} is refused`, () => {
    assert.throws(() => podHostname({ ...naming, given }), InvalidArgumentError);
  });
}

Deno.test("hosts names the pod at each of its addresses", () => {
  const file = hostsFile("web-0", ["10.0.0.2", "fd00::2"]);
  assert.ok(file.endsWith("10.0.0.2\tweb-0\nfd00::2\tweb-0\n"));
  assert.ok(file.startsWith("127.0.0.1\tlocalhost\n"));
});

Deno.test("resolv.conf has searches, servers and options; nothing given means the host's", () => {
  const dns = DNSConfig.fromPartial({
    servers: ["10.96.0.10", "fe80::1%eth0"],
    searches: ["ns.svc.cluster.local", "."],
    options: ["ndots:5", "single-request-reopen"],
  });
  assert.equal(
    resolvConfFile(dns),
    "search ns.svc.cluster.local .\nnameserver 10.96.0.10\nnameserver fe80::1%eth0\n" +
      "options ndots:5 single-request-reopen\n",
  );
  assert.equal(resolvConfFile(undefined), undefined);
  assert.equal(resolvConfFile(DNSConfig.fromPartial({})), undefined);
});

for (const list of ["servers", "searches", "options"] as const) {
  for (const word of ["a\nnameserver 6.6.6.6", "a b", "", "a\r", "a\0", "a;b"]) {
    Deno.test(`${list} with ${JSON.stringify(word)} are refused`, () => {
      const dns = DNSConfig.fromPartial({ [list]: [word] });
      assert.throws(() => resolvConfFile(dns), (error: InvalidArgumentError) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.equal(error.details.field, `config.dns_config.${list}`);
        return true;
      });
    });
  }
}
