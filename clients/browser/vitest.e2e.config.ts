import { defineConfig } from "vitest/config";

// One browser and one server at a time: these machines are small.
export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
