import { chromium } from "playwright-core";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the browser of this run can be reached. */
    browser: string;
  }
}

/** Starts the Chromium that `CHROMIUM` names, or Debian's, once for all tests; returns how to end it. */
export default async function startBrowser(project: TestProject): Promise<() => Promise<void>> {
  const browser = await chromium.launchServer({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    // The path of its socket has to be short. Its profile is in the TMPDIR of the tests.
    env: { ...process.env, TMPDIR: "/tmp" },
    // Forms that the browser keeps and brings back are what some tests are about.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  project.provide("browser", browser.wsEndpoint());
  return () => browser.close();
}
