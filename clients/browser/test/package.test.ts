import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";

const here = new URL("..", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, here), "utf8");
const json = (name: string) => JSON.parse(read(name));

/** What `npm run bundle` makes. */
function build(): Uint8Array {
  const built = buildSync({
    absWorkingDir: here.pathname,
    entryPoints: ["src/index.ts"],
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2020",
    write: false,
  });
  return built.outputFiles[0]!.contents;
}

test("the package is smaller than 3 KiB, minified and gzipped", () => {
  const bytes = gzipSync(build(), { level: 9 }).length;
  expect(bytes).toBeLessThan(3 * 1024);
  expect(bytes, "there is something in it").toBeGreaterThan(1024);
});

test("the client that an example serves is the present one (else: npm run examples)", () => {
  expect(read("../../examples/forms/src/client.js") === new TextDecoder().decode(build())).toBe(true);
});

test("the package needs no other, and is not published yet", () => {
  const manifest = json("package.json");
  expect(manifest.dependencies).toBeUndefined();
  expect(manifest.peerDependencies).toBeUndefined();
  expect(manifest.private).toBe(true);
});

test("what it is built with is pinned, and the lock names no registry", () => {
  const { devDependencies } = json("package.json");
  for (const version of Object.values(devDependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  const packages: Record<string, { resolved?: string; integrity?: string }> = json("package-lock.json").packages;
  for (const [name, entry] of Object.entries(packages)) {
    expect(entry.resolved, name).toBeUndefined();
    if (name) expect(entry.integrity, name).toMatch(/^sha512-/);
  }
});

test("the example in the README uses names that the package has", async () => {
  const exported = Object.keys(await import("../src/index.js"));
  const imports = read("README.md").matchAll(/import \{([^}]*)\} from "tower-idempotency-client"/g);
  const names = [...imports].flatMap(([, list]) => list!.split(",").map((name) => name.trim()));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(exported).toContain(name);
});
