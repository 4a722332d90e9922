import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from "vitest";
import { chromium } from "playwright-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { startExample } from "./example.js";
import type { Example, Name } from "./example.js";
import { startLossyProxy } from "./lossy-proxy.js";
import type { LossyProxy } from "./lossy-proxy.js";

/** What every test has anew: a browser's page, a proxy, and a server with an empty database. */
export interface Scene {
  readonly example: Example;
  readonly proxy: LossyProxy;
  readonly page: Page;
  /** Opens a page of the proxy or of the example behind it. */
  open(path?: string): Promise<void>;
  /** Goes elsewhere and comes back to the page, which the browser has kept as it was. */
  goAndComeBack(): Promise<void>;
  /** The keys of the POSTs, each once. */
  keys(): (string | undefined)[];
}

/** Sets the scene for the tests around it. */
export function setScene(name: Name, options: string[] = [], context: BrowserContextOptions = {}): Scene {
  let browser: Browser;
  let example: Example;
  let proxy: LossyProxy;
  let page: Page;
  let errors: string[];

  beforeAll(async () => void (browser = await chromium.connect(inject("browser"))));
  afterAll(() => browser?.close());
  beforeEach(async () => {
    [example, page] = await Promise.all([startExample(name, options), browser.newPage(context)]);
    proxy = await startLossyProxy(example.url);
    errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => /Content Security/.test(message.text()) && errors.push(message.text()));
    await page.addInitScript(() => {
      addEventListener("pageshow", (event) => Object.assign(window, { persisted: event.persisted }));
    });
  });
  afterEach(async () => {
    await page?.context().close();
    await proxy?.stop();
    await example?.stop();
    expect(errors).toEqual([]);
  });

  return {
    get example() {
      return example;
    },
    get proxy() {
      return proxy;
    },
    get page() {
      return page;
    },
    async open(path = "/") {
      await page.goto(proxy.url + path);
    },
    async goAndComeBack() {
      const here = page.url();
      await page.goto(`${proxy.url}/away.html`);
      await page.evaluate("history.back()");
      await page.waitForURL(here, { waitUntil: "commit" });
      // Otherwise it did not come from the back-forward cache, and shows nothing.
      await page.waitForFunction("window.persisted === true", undefined, { timeout: 10_000 });
    },
    keys: () => [...new Set(proxy.posts.map((post) => post.key))],
  };
}
