import assert from "node:assert/strict";
import { moduleFile, newest } from "./kubelet_build.ts";

Deno.test("moduleFile() takes each module that lives in the repository from where it is published", () => {
  const text = moduleFile(
    `module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/cri-api => ./staging/src/k8s.io/cri-api
)
`,
    "1.37.2",
  );
  assert.match(text, /^require k8s\.io\/kubernetes v1\.37\.2$/m);
  assert.match(text, /^\tk8s\.io\/api => k8s\.io\/api v0\.37\.2$/m);
  assert.match(text, /^\tk8s\.io\/cri-api => k8s\.io\/cri-api v0\.37\.2$/m);
  assert.match(text, /^go 1\.26\.0$/m);
  assert.match(text, /^godebug default=go1\.26$/m);
});

Deno.test("moduleFile() refuses a module file without such modules", () => {
  assert.throws(() => moduleFile("module k8s.io/kubernetes\n", "1.37.2"), /another form/);
});

Deno.test("newest() is by number, of the right minor version, and no candidate of a release", () => {
  const versions = ["v1.37.2", "v1.37.10", "v1.37.11-rc.0", "v1.36.12", "v1.38.0"];
  assert.equal(newest(versions), "1.37.10");
  assert.equal(newest(["v1.36.0", "k8s.io/kubernetes"]), undefined);
});
