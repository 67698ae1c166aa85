import assert from "node:assert/strict";
import { type AddressSources, hostAddress, type InterfaceAddress } from "./host_address.ts";

const HEADING = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT";
const ipv4Route = (name: string, destination: string, metric: number, mask = "00000000") =>
  `${name}\t${destination}\t0102A8C0\t0003\t0\t0\t${metric}\t${mask}\t0\t0\t0  `;
const NONE = "0".repeat(32);
const ipv6Route = (name: string, destination = NONE, length = "00", metric = "00000400") =>
  `${destination} ${length} ${NONE} 00 fe80000000000000000000000000beef ${metric} 00000001 00000000 00000003     ${name}`;

function sources(
  { ipv4, ipv6, addresses }: {
    readonly ipv4?: readonly string[];
    readonly ipv6?: readonly string[];
    readonly addresses: Readonly<Record<string, readonly string[]>>;
  },
): AddressSources {
  const files: Readonly<Record<string, string | undefined>> = {
    "/proc/net/route": ipv4 && [HEADING, ...ipv4, ""].join("\n"),
    "/proc/net/ipv6_route": ipv6 && [...ipv6, ""].join("\n"),
  };
  return {
    read: (path) => Promise.resolve(files[path]),
    addresses: () =>
      Object.entries(addresses).flatMap(([name, all]) =>
        all.map((address): InterfaceAddress => ({
          name,
          address,
          family: address.includes(":") ? "IPv6" : "IPv4",
        }))
      ),
  };
}

const ADDRESSES = {
  lo: ["127.0.0.1", "::1"],
  eth0: ["fe80::1", "169.254.7.7", "10.0.0.5", "2001:db8::5"],
  eth1: ["192.168.2.6", "2001:db8:1::6"],
};
const NET = ipv4Route("eth1", "0002A8C0", 0, "00FFFFFF");
const ROUTE_TO_NOWHERE = ipv6Route("lo", NONE, "00", "ffffffff");

Deno.test("the address is that of the default route's interface", async () => {
  const ipv4 = [NET, ipv4Route("eth0", "00000000", 100)];
  const ipv6 = [ipv6Route("eth1"), ROUTE_TO_NOWHERE];
  assert.equal(await hostAddress(sources({ ipv4, ipv6, addresses: ADDRESSES })), "10.0.0.5");
});

Deno.test("of several default routes the one with the least metric counts", async () => {
  const ipv4 = [ipv4Route("eth0", "00000000", 600), ipv4Route("eth1", "00000000", 100)];
  assert.equal(await hostAddress(sources({ ipv4, addresses: ADDRESSES })), "192.168.2.6");
});

Deno.test("a host without IPv4 is known by an address of IPv6", async () => {
  const ipv6 = [ROUTE_TO_NOWHERE, ipv6Route("eth1"), ipv6Route("eth0", NONE, "00", "00000100")];
  assert.equal(await hostAddress(sources({ ipv6, addresses: ADDRESSES })), "2001:db8::5");
  const withoutRoute = sources({ ipv4: [NET], ipv6, addresses: ADDRESSES });
  assert.equal(await hostAddress(withoutRoute), "2001:db8::5");
});

Deno.test("an interface without an address of its own has that of the loopback interface", async () => {
  const addresses = { lo: ["127.0.0.1", "203.0.113.9"], eth0: ["fe80::1"] };
  const ipv4 = [ipv4Route("eth0", "00000000", 0)];
  assert.equal(await hostAddress(sources({ ipv4, addresses })), "203.0.113.9");
});

Deno.test("without a default route there is none", async () => {
  const ipv4 = [NET, ipv4Route("eth1", "00000000", 0, "00000080")];
  const ipv6 = [ROUTE_TO_NOWHERE, ipv6Route("eth0", "20010db8" + "0".repeat(24), "40")];
  assert.equal(await hostAddress(sources({ ipv4, ipv6, addresses: ADDRESSES })), undefined);
  assert.equal(await hostAddress(sources({ addresses: ADDRESSES })), undefined);
});

Deno.test("of this host it is one of its addresses", async () => {
  const address = await hostAddress();
  const all = Deno.networkInterfaces().map((found) => found.address);
  assert.ok(address === undefined || all.includes(address), `${address}`);
});
