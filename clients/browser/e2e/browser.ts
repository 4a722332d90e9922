import { chromium } from "playwright-core";
import type { Browser } from "playwright-core";

/** Starts the Chromium that `CHROMIUM` names, or Debian's. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
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
    // Forms that the browser keeps and brings back are what some tests are about.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}
