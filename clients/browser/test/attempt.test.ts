import { expect, test, vi } from "vitest";
import { createAttempt } from "../src/index.js";
import type { KeyStorage } from "../src/index.js";

/** What sessionStorage is to a tab. */
function memory(): KeyStorage & { held: Map<string, string> } {
  const held = new Map<string, string>();
  return {
    held,
    getItem: (name) => held.get(name) ?? null,
    setItem: (name, value) => void held.set(name, value),
    removeItem: (name) => void held.delete(name),
  };
}

test("retries of one attempt have one key", () => {
  const attempt = createAttempt();
  const key = attempt.key();
  expect(attempt.key()).toBe(key);
  expect(attempt.begin().key).toBe(key);
  expect(createAttempt().key()).not.toBe(key);
});

test("another identity gets another key", () => {
  const attempt = createAttempt({ identity: { student: 1, class: "a" } });
  const first = attempt.key();
  attempt.identify({ student: 2, class: "a" });
  const second = attempt.key();
  expect(second).not.toBe(first);
  attempt.identify({ class: "a", student: 2 });
  expect(attempt.key(), "the order of members does not matter").toBe(second);
  attempt.identify(["a", "b"]);
  const list = attempt.key();
  attempt.identify(["b", "a"]);
  const other = attempt.key();
  expect(other, "that of elements does").not.toBe(list);
  attempt.identify({ 0: "b", 1: "a" });
  expect(attempt.key(), "a list is not an object").not.toBe(other);
});

test("an identity that is a function is asked each time", () => {
  let student = 1;
  const attempt = createAttempt({ identity: () => student });
  const first = attempt.key();
  expect(attempt.key()).toBe(first);
  student = 2;
  expect(attempt.key()).not.toBe(first);
});

test("a key is not used again after a success", () => {
  const attempt = createAttempt();
  const first = attempt.key();
  attempt.done();
  expect(attempt.state).toBe("saved");
  expect(attempt.key()).not.toBe(first);
  const second = attempt.begin();
  second.end("saved", true);
  expect(attempt.key()).not.toBe(second.key);
});

test("coming back to what may have been saved brings its key back", () => {
  const attempt = createAttempt({ identity: "ada" });
  const turn = attempt.begin();
  turn.end("maybe-saved", false);
  attempt.identify("bob");
  expect(attempt.state).toBe("idle");
  expect(attempt.key()).not.toBe(turn.key);
  attempt.identify("ada");
  expect(attempt.state).toBe("maybe-saved");
  expect(attempt.key()).toBe(turn.key);
});

test("coming back to what was never sent is a new entry", () => {
  const attempt = createAttempt({ identity: "ada" });
  const first = attempt.key();
  attempt.identify("bob");
  attempt.identify("ada");
  expect(attempt.key()).not.toBe(first);
});

test("an answer for one student does not touch another one's entry", () => {
  const seen: string[] = [];
  const response = new Response();
  const attempt = createAttempt({ identity: "ada", onState: (state) => seen.push(state) });
  const ada = attempt.begin();
  attempt.identify("bob");
  const bob = attempt.key();
  ada.end("saved", true, { outcome: "done", response, replay: false, tries: 1 });
  expect(attempt.state).toBe("idle");
  expect(attempt.key()).toBe(bob);
  expect(seen).toEqual(["sending", "idle"]);
  attempt.identify("ada");
  expect(attempt.state).toBe("saved");
  expect(attempt.key(), "Ada's is spent").not.toBe(ada.key);
});

test("an identity that has changed unnoticed is noticed when the answer comes", () => {
  const seen: string[] = [];
  let student = "ada";
  const attempt = createAttempt({ identity: () => student, onState: (state) => seen.push(state) });
  const turn = attempt.begin();
  student = "bob";
  turn.end("saved", true);
  expect(seen).toEqual(["sending", "idle"]);
});

test("what may have been saved stays so until there is an answer", () => {
  const attempt = createAttempt();
  const [first, second] = [attempt.begin(), attempt.begin()];
  expect([first.unsure, second.unsure]).toEqual([false, true]);
  second.end("maybe-saved", false);
  expect(attempt.state, "the first is still under way").toBe("sending");
  first.end("failed", false);
  expect(attempt.state).toBe("maybe-saved");
  const third = attempt.begin();
  expect([third.unsure, third.key]).toEqual([true, first.key]);
  third.end("saved", true);
  expect(attempt.begin().unsure).toBe(false);
});

test("what was not sent leaves its key unused", () => {
  const attempt = createAttempt();
  const turn = attempt.begin();
  turn.end("failed", false);
  const next = attempt.begin();
  expect([next.key, next.unsure]).toEqual([turn.key, false]);
});

test("a new entry can be begun on purpose", () => {
  const attempt = createAttempt();
  const turn = attempt.begin();
  turn.end("maybe-saved", false);
  attempt.renew();
  expect(attempt.state).toBe("idle");
  expect(attempt.key()).not.toBe(turn.key);
});

test("a late answer does not spend the key of a new entry", () => {
  const attempt = createAttempt();
  const late = attempt.begin();
  attempt.renew();
  const key = attempt.key();
  late.end("saved", true);
  expect([attempt.key(), attempt.state]).toEqual([key, "idle"]);
});

test("every change of state is told, and only changes are", () => {
  const onState = vi.fn();
  const attempt = createAttempt({ onState });
  const turn = attempt.begin();
  attempt.begin();
  turn.end("saved", true);
  attempt.renew();
  attempt.renew();
  expect(onState.mock.calls.map(([state]) => state)).toEqual(["sending", "saved", "idle"]);
});

test("a reload is a new entry, unless there is a storage", () => {
  const storage = memory();
  const lost = createAttempt({ storage, name: "practica", identity: "ada" }).begin();
  lost.end("maybe-saved", false);

  expect(createAttempt({ identity: "ada" }).key()).not.toBe(lost.key);
  const reloaded = createAttempt({ storage, name: "practica", identity: "ada" });
  expect(reloaded.state).toBe("maybe-saved");
  expect(reloaded.begin()).toMatchObject({ key: lost.key, unsure: true });
  expect(createAttempt({ storage, name: "practica", identity: "bob" }).key()).not.toBe(lost.key);
  expect(createAttempt({ storage, name: "another form", identity: "ada" }).key()).not.toBe(lost.key);
});

test("a page that goes away while it sends has stored its key before", () => {
  const storage = memory();
  const attempt = createAttempt({ storage, name: "form" });
  attempt.key();
  expect(storage.held.size, "nothing was sent yet").toBe(0);
  const { key } = attempt.begin();
  expect(createAttempt({ storage, name: "form" }).key()).toBe(key);
});

test("a success leaves nothing in the storage", () => {
  const storage = memory();
  const turn = createAttempt({ storage, name: "form" }).begin();
  expect(storage.held.size).toBe(1);
  turn.end("saved", true);
  expect(storage.held.size).toBe(0);
});

test("an identity that is known late finds its stored key", () => {
  const storage = memory();
  const options = { storage, name: "form" };
  const { key } = createAttempt({ ...options, identity: "ada" }).begin();
  const reloaded = createAttempt(options);
  reloaded.key();
  reloaded.identify("ada");
  expect(reloaded.key()).toBe(key);
});

test("a storage that is full, forbidden or filled with something else does no harm", () => {
  const refuse = () => {
    throw new DOMException("no", "SecurityError");
  };
  const refused = createAttempt({
    storage: { getItem: refuse, setItem: refuse, removeItem: refuse },
    name: "form",
  });
  expect(refused.begin().key).toBe(refused.key());
  for (const value of ["", "{", "3", "null", '[["undefined"]]', '{"a":1}']) {
    const storage = memory();
    storage.held.set("form", value);
    expect(createAttempt({ storage, name: "form" }).key(), value).toMatch(/^[0-9a-f-]{36}$/);
  }
});
