import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { startBrowser } from "./browser.js";
import { startLossyProxy } from "./lossy-proxy.js";
import type { LossyProxy } from "./lossy-proxy.js";
import { startQuickstart } from "./quickstart.js";
import type { Quickstart } from "./quickstart.js";

let browser: Browser;
let quickstart: Quickstart;
let proxy: LossyProxy;
let page: Page;

beforeAll(async () => void (browser = await startBrowser()));
afterAll(() => browser?.close());
beforeEach(async () => {
  quickstart = await startQuickstart();
  proxy = await startLossyProxy(quickstart.url);
  page = await browser.newPage();
});
afterEach(async () => {
  await page?.context().close();
  await proxy?.stop();
  await quickstart?.stop();
});

async function open(query = ""): Promise<void> {
  await page.goto(`${proxy.url}/form.html?${query}`);
  await page.waitForSelector("[data-ready]");
}

/** Waits until the page shows a state. */
async function shows(state: string): Promise<void> {
  const isShown = (state: string) => document.querySelector("output")!.textContent === state;
  await page.waitForFunction(isShown, state, { timeout: 10_000 });
}

async function press(state: string): Promise<void> {
  await page.click("button");
  await shows(state);
}

/** What the database has: who, and how much. */
async function rows(): Promise<string[]> {
  return (await quickstart.rows()).map((row) => `${row.currency} ${row.amount}`).sort();
}

function keys(): Set<string | undefined> {
  return new Set(proxy.posts.map((post) => post.key));
}

function results(): Promise<unknown[]> {
  return page.evaluate("window.results");
}

test("without a key, a press after a lost answer makes a second row", async () => {
  await open("key=no");
  proxy.loseAnswers(1);
  await press("no answer");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
});

test("without a key, a double click makes a second row", async () => {
  await open("key=no");
  const answered = page.waitForResponse("**/payments");
  await page.dblclick("button");
  await answered;
  await expect.poll(rows, { timeout: 10_000 }).toEqual(["ADA 1200", "ADA 1200"]);
});

test("without a key, Chromium makes a second row by itself", async () => {
  proxy.keepAlive = true;
  await open("key=no");
  proxy.loseAnswers(1);
  // One press: the browser repeats what it sent on a connection that had served before.
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
});

test("what Chromium repeats by itself is one row with a key", async () => {
  proxy.keepAlive = true;
  await open();
  proxy.loseAnswers(1);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(proxy.posts.map((post) => post.replay)).toEqual([undefined, "true"]);
  expect(await results()).toMatchObject([{ outcome: "done", replay: true, tries: 1 }]);
});

test("a double click is one row", async () => {
  await open();
  await page.dblclick("button");
  await shows("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(proxy.posts.length).toBe(1);
});

test("presses while it is sent are one row", async () => {
  await open();
  const release = proxy.holdAnswers();
  await press("sending");
  await page.click("button");
  await page.dblclick("button");
  release();
  await shows("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(proxy.posts.length).toBe(1);
});

test("lost answers are asked for again: one row", async () => {
  await open();
  proxy.loseAnswers(2);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(proxy.posts.map((post) => [post.lost, post.replay])).toEqual([
    [true, undefined],
    [true, "true"],
    [false, "true"],
  ]);
  expect(keys().size).toBe(1);
  expect(await results()).toMatchObject([{ outcome: "done", replay: true, tries: 3 }]);
});

test("what may have been saved says so, and a press makes sure: one row", async () => {
  await open("maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(await results()).toMatchObject([
    { outcome: "unknown", tries: 1 },
    { outcome: "done", replay: true },
  ]);
});

test("what was changed after it may have been saved is not saved beside it", async () => {
  await open("maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await page.fill("[name=amount]", "1300");
  await page.click("button");
  await expect.poll(async () => (await results()).length).toBe(2);
  await shows("maybe-saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect((await results())[1]).toMatchObject({ outcome: "unknown", code: "IDEMPOTENCY_KEY_REUSED" });
});

test("going back to a form that was kept is a new entry", async () => {
  await open();
  await press("saved");
  await page.click("a");
  await page.waitForURL("**/away.html");
  await page.evaluate("history.back()");
  await page.waitForURL("**/form.html*", { waitUntil: "commit" });
  await shows("idle");
  expect(await page.evaluate("window.persisted"), "it came from the back-forward cache").toBe(true);
  await page.fill("[name=amount]", "700");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 700"]);
  expect(keys().size).toBe(2);
  expect(proxy.posts.map((post) => post.replay)).toEqual([undefined, undefined]);
});

test("going back to a form whose answer was lost is the same entry", async () => {
  await open("maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await page.click("a");
  await page.waitForURL("**/away.html");
  await page.evaluate("history.back()");
  await page.waitForURL("**/form.html*", { waitUntil: "commit" });
  expect(await page.evaluate("window.persisted"), "it came from the back-forward cache").toBe(true);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
});

test("another student is another row, also after a lost answer, and the first stays one", async () => {
  await open("maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await page.selectOption("select", "BOB");
  await shows("idle");
  await press("saved");
  await page.selectOption("select", "ADA");
  await shows("maybe-saved");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "BOB 1200"]);
  expect(keys().size).toBe(2);
});

test("another student can be saved while the first is sent", async () => {
  await open();
  const release = proxy.holdAnswers();
  await press("sending");
  await page.selectOption("select", "BOB");
  await shows("idle");
  await press("sending");
  release();
  await shows("saved");
  await expect.poll(async () => (await results()).length).toBe(2);
  expect(await rows()).toEqual(["ADA 1200", "BOB 1200"]);
});

test("a reload is a new entry", async () => {
  await open("maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await page.reload();
  await shows("idle");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
  expect(keys().size).toBe(2);
});

test("a reload of a page with a storage is the same entry, until it is saved", async () => {
  await open("maxTries=1&persist=yes");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await page.reload();
  await shows("maybe-saved");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  await page.reload();
  await shows("idle");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
});

test("a reload in the middle of sending is the same entry for a page with a storage", async () => {
  await open("persist=yes");
  const release = proxy.holdAnswers();
  await press("sending");
  await expect.poll(() => proxy.posts.length).toBe(1);
  await page.reload();
  await shows("maybe-saved");
  release();
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
});

test("without a network nothing is sent, and nothing is said to be saved", async () => {
  await open("maxTries=1");
  await page.context().setOffline(true);
  await press("failed");
  expect(await results()).toMatchObject([{ outcome: "not-sent" }]);
  expect(proxy.posts).toEqual([]);
  await page.context().setOffline(false);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
});

test("a form's own fields are sent as its enctype says", async () => {
  await open("enctype=application/x-www-form-urlencoded");
  // Quickstart takes nothing but JSON; what is sent is what matters here.
  await press("failed");
  expect(proxy.posts[0]).toMatchObject({
    type: "application/x-www-form-urlencoded;charset=UTF-8",
    body: "student=ADA&amount=1200&note=two+words&pressed=save",
    status: 415,
  });
});

test("a multipart form is the same request in every press", async () => {
  await open("enctype=multipart/form-data&maxTries=1");
  proxy.loseAnswers(1);
  await press("maybe-saved");
  await press("failed");
  const [first, second] = proxy.posts;
  expect(first!.type).toMatch(/^multipart\/form-data; boundary=[0-9a-f-]{36}$/);
  expect([second!.type, second!.body]).toEqual([first!.type, first!.body]);
  expect(second, "no IDEMPOTENCY_KEY_REUSED").toMatchObject({ status: 415 });
  const sent = await new Response(first!.body, { headers: { "content-type": first!.type! } }).formData();
  expect([...sent]).toEqual([["student", "ADA"], ["amount", "1200"], ["note", "two words"], ["pressed", "save"]]);
});
