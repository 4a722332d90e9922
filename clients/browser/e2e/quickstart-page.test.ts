import { mkdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "./browser.js";
import { startQuickstart } from "./quickstart.js";
import type { Quickstart } from "./quickstart.js";

let browser: Browser;
let quickstart: Quickstart;
let page: Page;
/** Where the page has asked for anything, and what went wrong in it. */
let origins: Set<string>;
let errors: string[];

beforeAll(async () => void (browser = await startBrowser()));
afterAll(() => browser?.close());
beforeEach(async () => {
  quickstart = await startQuickstart();
  page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  origins = new Set();
  errors = [];
  page.on("request", (request) => origins.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => /Content Security/.test(message.text()) && errors.push(message.text()));
  await page.goto(quickstart.url);
  await says("Press Pay, then press it again.");
});
afterEach(async () => {
  expect([...origins].filter((origin) => origin !== "null")).toEqual([quickstart.url]);
  expect(errors).toEqual([]);
  await page?.context().close();
  await quickstart?.stop();
});

async function says(text: string): Promise<void> {
  await expect.poll(() => page.textContent("#verdict"), { timeout: 10_000 }).toContain(text);
}

/** The table of requests: press, key, answer, headers. */
function requests(): Promise<string[][]> {
  const read = (lines: Element[]) =>
    lines.map((line) => [...line.children].map((cell) => cell.textContent ?? ""));
  return page.$$eval("#requests tbody tr", read);
}

async function rows(): Promise<number> {
  const shown = await page.$$eval("#rows tbody tr", (lines) => lines.length);
  expect(shown, "the page shows what there is").toBe((await quickstart.rows()).length);
  return shown;
}

test("a second press gets the first one's payment back", async () => {
  await page.click("#pay");
  await says("1 request for this payment, 1 row written.");
  await page.click("#pay");
  await says("2 requests for this payment, 1 row written.");
  const [first, second] = await requests();
  expect(first!.slice(2)).toEqual(["201", "X-Idempotency-Stored: true"]);
  expect(second!.slice(2)).toEqual(["201", "X-Idempotency-Replay: true"]);
  expect(second![1]).toBe(first![1]);
  expect(await rows()).toBe(1);
});

test("two presses at once are one row with a key", async () => {
  await page.click("#twice");
  await says("2 requests for this payment, 1 row written.");
  const answers = (await requests()).map((request) => request[2]);
  expect(answers).toContain("201");
  for (const answer of answers) expect(["201", "409 REQUEST_IN_PROGRESS"]).toContain(answer);
  expect(await rows()).toBe(1);
});

test("two presses at once are two rows without a key", async () => {
  await page.uncheck("#keyed");
  await page.click("#twice");
  await says("2 requests for this payment, 2 rows written.");
  expect((await requests()).map((request) => request.slice(1))).toEqual([
    ["none", "201", "—"],
    ["none", "201", "—"],
  ]);
  expect(await rows()).toBe(2);
});

test("a lost answer is asked for again: one row with a key", async () => {
  await page.click("#lose");
  await says("No answer came: maybe paid. Press Pay, it sends the same key.");
  await says("1 row written.");
  await page.click("#pay");
  await expect.poll(async () => (await requests()).at(-1)).toMatchObject({ 2: "201", 3: "X-Idempotency-Replay: true" });
  expect((await requests())[0]![2]).toBe("201 (lost on the way)");
  expect(await rows()).toBe(1);
});

test("a lost answer and a second press are more rows without a key", async () => {
  await page.uncheck("#keyed");
  await page.click("#lose");
  await says("No answer came: maybe paid. Is it safe to press Pay?");
  await page.click("#pay");
  await expect.poll(async () => (await requests()).at(-1)).toMatchObject({ 2: "201", 3: "—" });
  // The browser may have repeated the first press by itself; the page then says so.
  const arrived = (await requests()).length;
  expect(arrived).toBeGreaterThanOrEqual(2);
  expect(await rows()).toBe(arrived);
  expect(await page.isVisible("#repeated")).toBe(arrived > 2);
});

test("another amount with the same key is refused, and paid with a new one", async () => {
  await page.click("#pay");
  await says("1 row written.");
  await page.fill("#amount", "1300");
  await page.click("#pay");
  await says("Refused: this key stands for another amount.");
  expect((await requests())[1]![2]).toBe("422 IDEMPOTENCY_KEY_REUSED");
  await page.click("#renew");
  await says("Press Pay, then press it again.");
  await page.click("#pay");
  await says("1 request for this payment, 1 row written.");
  expect(await rows()).toBe(2);
});

// What it looks like is for people: SCREENSHOTS names a folder for pictures.
test("the page fits into a small window, light and dark", async () => {
  await page.click("#lose");
  await says("1 row written.");
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1200, 400]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow, `${width} wide`).toBeLessThanOrEqual(0);
      const folder = process.env.SCREENSHOTS;
      if (!folder) continue;
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: `${folder}/${colorScheme}-${width}.png`, fullPage: true });
    }
  }
});
