import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createAttempt, submitOnce } from "../src/index.js";
import type { Result } from "../src/index.js";

// The fields of real forms are sent by a real browser in the end-to-end tests.

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function page(reply: () => Promise<Response> = async () => new Response(null, { status: 201 })) {
  const form = new EventTarget() as HTMLFormElement;
  const keys: (string | null)[] = [];
  const fake = (async (_: unknown, init: RequestInit) => {
    keys.push(new Headers(init.headers).get("idempotency-key"));
    return reply();
  }) as typeof fetch;
  const results: Result[] = [];
  const attempt = createAttempt();
  const undo = submitOnce(form, attempt, {
    url: "https://api.example/payments",
    init: () => ({ body: "{}" }),
    fetch: fake,
    onResult: (result) => results.push(result),
  });
  const submit = () => {
    const event = new Event("submit", { cancelable: true });
    form.dispatchEvent(event);
    return event;
  };
  return { attempt, keys, results, submit, undo };
}

test("a submission is sent instead of navigating", async () => {
  const { submit, results, keys } = page();
  expect(submit().defaultPrevented).toBe(true);
  await vi.advanceTimersByTimeAsync(10);
  expect([keys.length, results[0]?.outcome]).toEqual([1, "done"]);
});

test("a double submission is ignored while the first is sent", async () => {
  const { submit, keys } = page(() => new Promise(() => {}));
  submit();
  expect(submit().defaultPrevented).toBe(true);
  await vi.advanceTimersByTimeAsync(10);
  expect(keys.length).toBe(1);
});

test("the second half of a double click is ignored even if the server was faster", async () => {
  const { submit, keys } = page();
  submit();
  await vi.advanceTimersByTimeAsync(200);
  submit();
  expect(keys.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  submit();
  await vi.advanceTimersByTimeAsync(10);
  expect(keys.length).toBe(2);
  expect(keys[1], "a later press is a new entry").not.toBe(keys[0]);
});

test("a refusal can be corrected and submitted at once", async () => {
  const { submit, keys } = page(async () => new Response(null, { status: 422 }));
  submit();
  await vi.advanceTimersByTimeAsync(10);
  submit();
  await vi.advanceTimersByTimeAsync(10);
  expect(keys.length).toBe(2);
});

test("a form that is let go is as it was", async () => {
  const { submit, undo, keys } = page();
  undo();
  expect(submit().defaultPrevented).toBe(false);
  expect(keys).toEqual([]);
});
