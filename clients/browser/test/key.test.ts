import { afterEach, expect, test, vi } from "vitest";
import { mintKey } from "../src/index.js";

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

afterEach(() => vi.restoreAllMocks());

test("the best source is asked first", () => {
  const getRandomValues = vi.fn();
  expect(mintKey({ randomUUID: () => "from randomUUID", getRandomValues })).toBe("from randomUUID");
  expect(getRandomValues).not.toHaveBeenCalled();
});

test("without randomUUID the random bytes become a UUID of version 4", () => {
  const fill = (value: number) => (bytes: Uint8Array<ArrayBuffer>) => bytes.fill(value);
  expect(mintKey({ getRandomValues: fill(0) })).toBe("00000000-0000-4000-8000-000000000000");
  expect(mintKey({ getRandomValues: fill(255) })).toBe("ffffffff-ffff-4fff-bfff-ffffffffffff");
});

test("without any crypto there are still keys, and they differ", () => {
  vi.stubGlobal("crypto", undefined);
  const random = vi.spyOn(Math, "random");
  const keys = new Set(Array.from({ length: 1000 }, () => mintKey()));
  vi.unstubAllGlobals();
  expect(random).toHaveBeenCalled();
  expect(keys.size).toBe(1000);
  for (const key of keys) expect(key).toMatch(UUID_V4);
});

test("this machine's own keys are UUIDs of version 4", () => {
  expect(mintKey()).toMatch(UUID_V4);
});
