import { mkdirSync } from "node:fs";
import type { APIResponse, Route } from "playwright-core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { setScene } from "./scene.js";

const scene = setScene("quickstart", [], { viewport: { width: 1200, height: 800 } });
/** Where the page has asked for anything. */
let origins: Set<string>;

beforeEach(async () => {
  origins = new Set();
  scene.page.on("request", (request) => origins.add(new URL(request.url()).origin));
  await scene.open();
  await says("Press Pay, then press it again.");
});
afterEach(() => {
  expect([...origins].filter((origin) => origin !== "null")).toEqual([scene.proxy.url]);
});

async function says(text: string): Promise<void> {
  await expect.poll(() => scene.page.textContent("#verdict"), { timeout: 10_000 }).toContain(text);
}

/** The table of requests: press, key, answer, headers. */
function requests(): Promise<string[][]> {
  const read = (lines: Element[]) =>
    lines.map((line) => [...line.children].map((cell) => cell.textContent ?? ""));
  return scene.page.$$eval("#requests tbody tr", read);
}

async function rows(): Promise<number> {
  const shown = await scene.page.$$eval("#rows tbody tr", (lines) => lines.length);
  expect(shown, "the page shows what there is").toBe((await scene.example.rows()).length);
  return shown;
}

test("a second press gets the first one's payment back", async () => {
  await scene.page.click("#pay");
  await says("1 request for this payment, 1 row written.");
  await scene.page.click("#pay");
  await says("2 requests for this payment, 1 row written.");
  const [first, second] = await requests();
  expect(first!.slice(2)).toEqual(["201", "X-Idempotency-Stored: true"]);
  expect(second!.slice(2)).toEqual(["201", "X-Idempotency-Replay: true"]);
  expect(second![1]).toBe(first![1]);
  expect(await rows()).toBe(1);
});

test("two presses at once are one row with a key", async () => {
  await scene.page.click("#twice");
  await says("2 requests for this payment, 1 row written.");
  const answers = (await requests()).map((request) => request[2]);
  expect(answers).toContain("201");
  for (const answer of answers) expect(["201", "409 REQUEST_IN_PROGRESS"]).toContain(answer);
  expect(await rows()).toBe(1);
});

test("two presses at once are two rows without a key", async () => {
  await scene.page.uncheck("#keyed");
  await scene.page.click("#twice");
  await says("2 requests for this payment, 2 rows written.");
  expect((await requests()).map((request) => request.slice(1))).toEqual([
    ["none", "201", "—"],
    ["none", "201", "—"],
  ]);
  expect(await rows()).toBe(2);
});

test("a lost answer is asked for again: one row with a key", async () => {
  await scene.page.click("#lose");
  await says("No answer came: maybe paid. Press Pay, it sends the same key.");
  await says("1 row written.");
  await scene.page.click("#pay");
  await expect.poll(async () => (await requests()).at(-1)).toMatchObject({ 2: "201", 3: "X-Idempotency-Replay: true" });
  expect((await requests())[0]![2]).toBe("201 (lost on the way)");
  expect(await rows()).toBe(1);
});

test("a lost answer and a second press are more rows without a key", async () => {
  await scene.page.uncheck("#keyed");
  await scene.page.click("#lose");
  await says("No answer came: maybe paid. Is it safe to press Pay?");
  await scene.page.click("#pay");
  await expect.poll(async () => (await requests()).at(-1)).toMatchObject({ 2: "201", 3: "—" });
  // The browser may have repeated the first press by itself; the page then says so.
  const arrived = (await requests()).length;
  expect(arrived).toBeGreaterThanOrEqual(2);
  expect(await rows()).toBe(arrived);
  expect(await scene.page.isVisible("#repeated")).toBe(arrived > 2);
});

test("another amount with the same key is refused, and paid with a new one", async () => {
  await scene.page.click("#pay");
  await says("1 row written.");
  await scene.page.fill("#amount", "1300");
  await scene.page.click("#pay");
  await says("Refused: this key stands for another amount.");
  expect((await requests())[1]![2]).toBe("422 IDEMPOTENCY_KEY_REUSED");
  await scene.page.click("#renew");
  await says("Press Pay, then press it again.");
  await scene.page.click("#pay");
  await says("1 request for this payment, 1 row written.");
  expect(await rows()).toBe(2);
});

test("an answer that the network loses is asked for again: one row", async () => {
  scene.proxy.loseAnswers(1);
  await scene.page.click("#pay");
  await says("No answer came: maybe paid. Press Pay, it sends the same key.");
  await scene.page.click("#pay");
  await says("2 requests for this payment, 1 row written.");
  expect(await rows()).toBe(1);
  expect(scene.proxy.posts.map((post) => post.replay)).toEqual([undefined, "true"]);
});

test("a double click is one row", async () => {
  await scene.page.dblclick("#pay");
  await says("2 requests for this payment, 1 row written.");
  expect(await rows()).toBe(1);
  expect(scene.keys().length).toBe(1);
});

test("what was asked for later is what the page shows", async () => {
  const held: { route?: Route; answer?: APIResponse } = {};
  const hold = async (route: Route) => {
    held.answer = await route.fetch();
    held.route = route;
  };
  await scene.page.route("**/arrivals", hold, { times: 1 });
  await scene.page.click("#pay");
  await expect.poll(() => held.route !== undefined).toBe(true);
  await scene.page.click("#pay");
  await says("2 requests for this payment, 1 row written.");
  await held.route!.fulfill({ response: held.answer! });
  await (await held.route!.request().response())!.finished();
  await scene.page.evaluate(() => new Promise((painted) => requestAnimationFrame(painted)));
  await says("2 requests for this payment, 1 row written.");
});

test("going back is the same payment, a reload is another one", async () => {
  scene.proxy.loseAnswers(1);
  await scene.page.click("#pay");
  await says("No answer came");
  await scene.goAndComeBack();
  await scene.page.click("#pay");
  await says("2 requests for this payment, 1 row written.");
  await scene.page.reload();
  await says("Press Pay, then press it again.");
  await scene.page.click("#pay");
  await says("1 request for this payment, 1 row written.");
  expect(await rows()).toBe(2);
  expect(scene.keys().length).toBe(2);
});

// What it looks like is for people: SCREENSHOTS names a folder for pictures.
test("the page fits into a small window, light and dark", async () => {
  await scene.page.click("#lose");
  await says("1 row written.");
  for (const colorScheme of ["light", "dark"] as const) {
    await scene.page.emulateMedia({ colorScheme });
    for (const width of [1200, 400]) {
      await scene.page.setViewportSize({ width, height: 800 });
      const overflow = await scene.page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow, `${width} wide`).toBeLessThanOrEqual(0);
      const folder = process.env.SCREENSHOTS;
      if (!folder) continue;
      mkdirSync(folder, { recursive: true });
      await scene.page.screenshot({ path: `${folder}/${colorScheme}-${width}.png`, fullPage: true });
    }
  }
});
