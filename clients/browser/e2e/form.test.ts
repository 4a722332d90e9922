// What needs one server only: forms without keys, what Chromium does by itself, and what is sent.
import { expect, test } from "vitest";
import { entryOf } from "./entry.js";
import { setScene } from "./scene.js";

const scene = setScene("quickstart");
const { open, shows, press, results } = entryOf("quickstart", scene);

/** What the database has: who, and how much. */
async function rows(): Promise<string[]> {
  return (await scene.example.rows()).map((row) => `${row.currency} ${row.amount}`).sort();
}

test("without a key, a press after a lost answer makes a second row", async () => {
  await open("key=no");
  scene.proxy.loseAnswers(1);
  await press("no answer");
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
});

test("without a key, a double click makes a second row", async () => {
  await open("key=no");
  const answered = scene.page.waitForResponse("**/payments");
  await scene.page.dblclick("button");
  await answered;
  await expect.poll(rows, { timeout: 10_000 }).toEqual(["ADA 1200", "ADA 1200"]);
});

test("without a key, Chromium makes a second row by itself", async () => {
  scene.proxy.keepAlive = true;
  await open("key=no");
  scene.proxy.loseAnswers(1);
  // One press: the browser repeats what it sent on a connection that had served before.
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200", "ADA 1200"]);
});

test("what Chromium repeats by itself is one row with a key", async () => {
  scene.proxy.keepAlive = true;
  await open();
  scene.proxy.loseAnswers(1);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect(scene.proxy.posts.map((post) => post.replay)).toEqual([undefined, "true"]);
  expect(await results()).toMatchObject([{ outcome: "done", replay: true, tries: 1 }]);
});

test("what was changed after it may have been saved is not saved beside it", async () => {
  await open("maxTries=1");
  scene.proxy.loseAnswers(1);
  await press("maybe-saved");
  await scene.page.fill("[name=amount]", "1300");
  await scene.page.click("button");
  await expect.poll(async () => (await results()).length).toBe(2);
  await shows("maybe-saved");
  expect(await rows()).toEqual(["ADA 1200"]);
  expect((await results())[1]).toMatchObject({ outcome: "unknown", code: "IDEMPOTENCY_KEY_REUSED" });
});

test("without a network nothing is sent, and nothing is said to be saved", async () => {
  await open("maxTries=1");
  await scene.page.context().setOffline(true);
  await press("failed");
  expect(await results()).toMatchObject([{ outcome: "not-sent" }]);
  expect(scene.proxy.posts).toEqual([]);
  await scene.page.context().setOffline(false);
  await press("saved");
  expect(await rows()).toEqual(["ADA 1200"]);
});

test("a form's own fields are sent as its enctype says", async () => {
  await open("enctype=application/x-www-form-urlencoded");
  // Quickstart takes nothing but JSON; what is sent is what matters here.
  await press("failed");
  expect(scene.proxy.posts[0]).toMatchObject({
    type: "application/x-www-form-urlencoded;charset=UTF-8",
    body: "student=ADA&amount=1200&note=two+words&pressed=save",
    status: 415,
  });
});

test("a multipart form is the same request in every press", async () => {
  await open("enctype=multipart/form-data&maxTries=1");
  scene.proxy.loseAnswers(1);
  await press("maybe-saved");
  await press("failed");
  const [first, second] = scene.proxy.posts;
  expect(first!.type).toMatch(/^multipart\/form-data; boundary=[0-9a-f-]{36}$/);
  expect([second!.type, second!.body]).toEqual([first!.type, first!.body]);
  expect(second, "no IDEMPOTENCY_KEY_REUSED").toMatchObject({ status: 415 });
  const sent = await new Response(first!.body, { headers: { "content-type": first!.type! } }).formData();
  expect([...sent]).toEqual([["student", "ADA"], ["amount", "1200"], ["note", "two words"], ["pressed", "save"]]);
});
