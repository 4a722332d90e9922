import { defineConfig } from "vitest/config";

// One browser for all, and one server at a time: these machines are small.
export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    globalSetup: "e2e/browser.ts",
    fileParallelism: false,
    // Loading Playwright takes a second; files share it.
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
