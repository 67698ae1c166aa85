import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { newContainerId } from "../model/mod.ts";
import { RuntimeServiceDefinition, StopContainerRequest } from "../proto/mod.ts";
import { startTestServer } from "./_test_server.ts";
import { heldTimeout } from "./long_deadlines.ts";

Deno.test("a timeout is cut to what a timer can hold, at the limit and one past it", () => {
  assert.equal(heldTimeout("2147483S"), "2147483S");
  assert.equal(heldTimeout("2147484S"), "2147483S");
  assert.equal(heldTimeout("35791M"), "35791M");
  assert.equal(heldTimeout("35792M"), "2147483S");
  assert.equal(heldTimeout("596H"), "596H");
  assert.equal(heldTimeout("99999999H"), "2147483S");
  for (const timeout of ["99999999m", "99999999u", "0S", "abc", "", "123456789S", "1 S"]) {
    assert.equal(heldTimeout(timeout), timeout);
  }
});

Deno.test("a call whose deadline is months away is served", async () => {
  await using started = await startTestServer({
    containers: { stop: () => new Promise((resolve) => setTimeout(resolve, 100)) },
  });
  const client = new Client(`unix://${started.path}`, credentials.createInsecure());
  const bytes = Buffer.from(
    StopContainerRequest.encode(
      StopContainerRequest.fromPartial({ containerId: newContainerId(), timeout: 2_592_000n }),
    ).finish(),
  );
  for (const timeout of ["2592120S", "99999999H", "43200M"]) {
    const metadata = new Metadata();
    metadata.set("grpc-timeout", timeout);
    const code = await new Promise<status>((resolve) =>
      client.makeUnaryRequest(
        `/${RuntimeServiceDefinition.fullName}/StopContainer`,
        (value: Buffer) => value,
        (value: Buffer) => value,
        bytes,
        metadata,
        (error: ServiceError | null) => resolve(error?.code ?? status.OK),
      )
    );
    assert.equal(code, status.OK, timeout);
  }
  client.close();
});
