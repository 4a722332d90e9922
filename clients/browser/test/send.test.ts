import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createAttempt, send } from "../src/index.js";
import type { Result, SendInit, SendOptions, State } from "../src/index.js";

const URL = "https://api.example/payments";
const IN_PROGRESS = () => problem(409, "REQUEST_IN_PROGRESS", { "retry-after": "2" });
const LOST = () => new TypeError("Failed to fetch");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  const type = { "content-type": "application/problem+json" };
  return new Response(JSON.stringify({ code }), { status, headers: { ...type, ...headers } });
}

function answer(status: number, headers: Record<string, string> = {}): Response {
  return new Response("the body", { status, headers });
}

type Step = () => Response | Error | Promise<Response>;

/** A server: each request takes the next step, and the last step stays. */
function server(...steps: Step[]) {
  const requests: { at: number; key: string | null; init: RequestInit }[] = [];
  const begun = performance.now();
  const fake = async (_: unknown, init: RequestInit = {}) => {
    const key = new Headers(init.headers).get("idempotency-key");
    requests.push({ at: performance.now() - begun, key, init });
    const step = steps.length > 1 ? steps.shift()! : steps[0]!;
    const reply = await step();
    if (reply instanceof Error) throw reply;
    return reply;
  };
  return { requests, fetch: fake as typeof fetch };
}

/** Never answers, as a server does whose answer is lost without the connection being closed. */
function hang(this: void): Promise<Response> {
  return new Promise(() => {});
}

/** A fetch that never answers, but can be aborted. */
function hanging() {
  const requests: RequestInit[] = [];
  const fake = (_: unknown, init: RequestInit = {}) => {
    requests.push(init);
    const signal = init.signal!;
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  return { requests, fetch: fake as typeof fetch };
}

/** Sends, and lets time pass until there is a result. */
async function run(
  fetcher: { fetch: typeof fetch },
  options: SendOptions = {},
  init: SendInit = {},
  states: State[] = [],
) {
  const attempt = createAttempt({ onState: (state) => void states.push(state) });
  const key = attempt.key();
  const begun = performance.now();
  const sent = send(attempt, URL, init, { fetch: fetcher.fetch, ...options });
  await vi.runAllTimersAsync();
  const result: Result = await sent;
  const renewed = attempt.key() !== key;
  return { attempt, result, key, renewed, states, took: performance.now() - begun };
}

test("a yes is done, and spends the key", async () => {
  const web = server(() => answer(201, { "x-idempotency-stored": "true" }));
  const { result, key, renewed, states } = await run(web, {}, { body: "{}" });
  expect(result).toMatchObject({ outcome: "done", replay: false, tries: 1 });
  expect(await result.response!.text()).toBe("the body");
  expect(web.requests[0]).toMatchObject({ key: `"${key}"`, init: { method: "POST", body: "{}" } });
  expect(renewed).toBe(true);
  expect(states).toEqual(["sending", "saved"]);
});

test("other headers are sent along, and the caller's own are not changed", async () => {
  const web = server(() => answer(200));
  const headers = new Headers({ authorization: "Bearer a" });
  await run(web, {}, { headers, method: "PATCH" });
  const init = web.requests[0]!.init;
  expect(new Headers(init.headers).get("authorization")).toBe("Bearer a");
  expect(init.method).toBe("PATCH");
  expect(headers.has("idempotency-key")).toBe(false);
});

test("a lost answer is asked for again with the same key, and is a replay", async () => {
  const web = server(LOST, () => answer(201, { "x-idempotency-replay": "true" }));
  const { result, key, states } = await run(web);
  expect(result).toMatchObject({ outcome: "done", replay: true, tries: 2 });
  expect(web.requests.map((request) => request.key)).toEqual([`"${key}"`, `"${key}"`]);
  expect(states).toEqual(["sending", "saved"]);
});

test("a replay without its body says so", async () => {
  const web = server(() => answer(201, { "x-idempotency-replay": "omitted" }));
  expect((await run(web)).result).toMatchObject({ outcome: "done", replay: "omitted" });
});

test.each([408, 429, 500, 502, 503, 504])("%d is tried again", async (status) => {
  const { result } = await run(server(() => answer(status), () => answer(201)));
  expect(result).toMatchObject({ outcome: "done", tries: 2 });
  expect(result.response!.status).toBe(201);
});

test.each([400, 401, 403, 404, 409, 410, 413, 422, 425])("%d is not tried again", async (status) => {
  const web = server(() => answer(status));
  const { result, renewed, states } = await run(web);
  expect(result).toMatchObject({ outcome: "done", tries: 1 });
  expect(states).toEqual(["sending", "failed"]);
  expect(renewed, "what the person corrects is a new entry").toBe(true);
});

test("a kept 5xx is final: every retry would get it again", async () => {
  const web = server(() => answer(500, { "x-idempotency-stored": "true" }));
  const { result, renewed } = await run(web);
  expect(result).toMatchObject({ outcome: "done", tries: 1 });
  expect(renewed).toBe(true);
});

test("an answer that is expressly not kept is not taken for a kept one", async () => {
  const web = server(() => answer(503, { "x-idempotency-stored": "false" }), () => answer(201));
  expect((await run(web)).result.tries).toBe(2);
});

test.each(["OUTCOME_UNKNOWN", "ATTEMPTS_EXHAUSTED"])("409 %s may have been saved", async (code) => {
  const { result, renewed, states } = await run(server(() => problem(409, code)));
  expect(result).toMatchObject({ outcome: "unknown", code, tries: 1 });
  expect(await result.response!.json()).toEqual({ code });
  expect(renewed).toBe(false);
  expect(states).toEqual(["sending", "maybe-saved"]);
});

test("a server that did not wait for the rest may have saved it", async () => {
  const { result, renewed } = await run(server(() => answer(408)), { maxTries: 2 });
  expect(result).toMatchObject({ outcome: "unknown", tries: 2 });
  expect(renewed).toBe(false);
});

test("a key that was used with another request is reported, and is not exchanged", async () => {
  const web = server(() => problem(422, "IDEMPOTENCY_KEY_REUSED"));
  const { result, renewed } = await run(web);
  expect(result).toMatchObject({ outcome: "unknown", code: "IDEMPOTENCY_KEY_REUSED", tries: 1 });
  expect(renewed).toBe(false);
});

test("a first request in progress is waited for, at least as long as it says", async () => {
  const web = server(IN_PROGRESS, IN_PROGRESS, () => answer(201, { "x-idempotency-replay": "true" }));
  const { result } = await run(web);
  expect(result).toMatchObject({ outcome: "done", replay: true, tries: 3 });
  const [first, second, third] = web.requests.map((request) => request.at);
  expect(second! - first!).toBeGreaterThanOrEqual(2000);
  expect(third! - second!).toBeGreaterThanOrEqual(2000);
});

test("a conflict without a code is the first request's if it says when to come again", async () => {
  const wait = { "retry-after": "1" };
  const web = server(() => answer(409, wait), () => answer(201));
  expect((await run(web)).result).toMatchObject({ outcome: "done", tries: 2 });
  const own = server(() => problem(409, "SOLD_OUT", wait));
  expect((await run(own)).result).toMatchObject({ outcome: "done", code: "SOLD_OUT", tries: 1 });
});

test("the code is found in the other shape, too", async () => {
  const body = { success: false, error: { code: "REQUEST_IN_PROGRESS", message: "подождите" } };
  const other = () => Response.json(body, { status: 409 });
  expect((await run(server(other, () => answer(200)))).result.tries).toBe(2);
});

test.each(["no json", "null", "3", '{"code":7}', "[]"])("%s is an answer without a code", async (text) => {
  const odd = () => new Response(text, { status: 409, headers: { "content-type": "application/json" } });
  const { result } = await run(server(odd));
  expect(result).toMatchObject({ outcome: "done", code: undefined });
  expect(await result.response!.text()).toBe(text);
});

test("Retry-After may be a date, which is compared with the server's clock", async () => {
  // This machine's clock is a day off.
  const date = new Date(Date.now() + 86_400_000).toUTCString();
  const later = new Date(Date.parse(date) + 5000).toUTCString();
  const web = server(() => answer(503, { "retry-after": later, date }), () => answer(200));
  const { took } = await run(web);
  expect(took).toBeGreaterThanOrEqual(5000);
  expect(took).toBeLessThan(6000);
});

test("Retry-After as a date works where the server's clock is hidden", async () => {
  vi.setSystemTime("2026-01-01T00:00:00Z");
  const web = server(
    () => answer(429, { "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" }),
    () => answer(200),
  );
  expect((await run(web)).took).toBeGreaterThanOrEqual(7000);
});

test.each(["soon", "-5", "1.5", "Thu, 01 Jan 1970 00:00:00 GMT"])("Retry-After %s is no reason to wait", async (value) => {
  const web = server(() => answer(503, { "retry-after": value }), () => answer(200));
  expect((await run(web)).took).toBeLessThan(301);
});

test("pauses grow to a bound and are random below it", async () => {
  const random = vi.spyOn(Math, "random").mockReturnValue(0.999);
  const web = server(() => answer(503));
  await run(web, { totalMs: 60_000, firstPauseMs: 100, longestPauseMs: 1000 });
  const at = web.requests.map((request) => request.at);
  const pauses = at.slice(1).map((time, index) => Math.round((time - at[index]!) / 100));
  expect(pauses.slice(0, 7)).toEqual([1, 2, 4, 8, 10, 10, 10]);
  random.mockReturnValue(0);
  const eager = server(LOST, LOST, () => answer(200));
  expect((await run(eager)).took).toBeLessThan(10);
});

test("the time is bounded, and the outcome then unknown", async () => {
  const web = server(() => answer(503));
  const { result, took, renewed, states } = await run(web, { totalMs: 10_000 });
  expect(took).toBeLessThanOrEqual(10_000);
  expect(result.outcome).toBe("unknown");
  expect(result.tries).toBeGreaterThan(3);
  expect(await result.response!.text(), "the last answer can be read").toBe("the body");
  expect(renewed).toBe(false);
  expect(states.at(-1)).toBe("maybe-saved");
});

test("a Retry-After beyond the bound is not waited for", async () => {
  const web = server(() => problem(409, "REQUEST_IN_PROGRESS", { "retry-after": "3600" }));
  const { result, took } = await run(web, { totalMs: 10_000 });
  expect(result).toMatchObject({ outcome: "unknown", code: "REQUEST_IN_PROGRESS", tries: 1 });
  expect(took).toBeLessThan(10);
});

test("only ever refused by a limit means that nothing was done", async () => {
  const web = server(() => answer(429, { "retry-after": "3600" }));
  const { result, renewed, states } = await run(web);
  expect(result).toMatchObject({ outcome: "done", tries: 1 });
  expect(states).toEqual(["sending", "failed"]);
  expect(renewed).toBe(false);
});

test("a limit that is met after a lost answer does not make it certain", async () => {
  const web = server(LOST, () => answer(429, { "retry-after": "3600" }));
  expect((await run(web)).result).toMatchObject({ outcome: "unknown", tries: 2 });
});

test.each([401, 403, 413])("%d after a lost answer does not make it certain", async (status) => {
  const { result, renewed } = await run(server(LOST, () => answer(status)));
  expect(result).toMatchObject({ outcome: "unknown", tries: 2 });
  expect(renewed).toBe(false);
});

test("a kept no after a lost answer is certain", async () => {
  const web = server(LOST, () => answer(404, { "x-idempotency-replay": "true" }));
  const { result, renewed } = await run(web);
  expect(result).toMatchObject({ outcome: "done", replay: true });
  expect(renewed).toBe(true);
});

test("a second call knows what the first one does not", async () => {
  const web = server(LOST, () => answer(401));
  const attempt = createAttempt();
  const options = { fetch: web.fetch, maxTries: 1 };
  expect((await send(attempt, URL, {}, options)).outcome).toBe("unknown");
  expect((await send(attempt, URL, {}, options)).outcome).toBe("unknown");
  expect(web.requests[1]!.key).toBe(web.requests[0]!.key);
});

test("without a network nothing is sent, and it says so", async () => {
  vi.stubGlobal("navigator", { onLine: false });
  const web = server(LOST);
  const { result, attempt, states, renewed } = await run(web, { totalMs: 5_000 });
  expect(result.outcome).toBe("not-sent");
  expect(result.error).toBeInstanceOf(TypeError);
  expect(states).toEqual(["sending", "failed"]);
  expect(renewed).toBe(false);
  expect(attempt.begin().unsure).toBe(false);
});

test("a network that comes back is used", async () => {
  const navigator = { onLine: false };
  vi.stubGlobal("navigator", navigator);
  const back = () => {
    navigator.onLine = true;
    return LOST();
  };
  expect((await run(server(back, () => answer(201)))).result).toMatchObject({ outcome: "done", tries: 2 });
});

test("a try that hangs is ended and repeated", async () => {
  const web = hanging();
  const { result, took } = await run(web, { tryMs: 1_000, totalMs: 10_000 });
  expect(web.requests.length).toBeGreaterThan(2);
  expect(took).toBeLessThanOrEqual(10_000);
  expect(result.outcome).toBe("unknown");
  expect(result.error).toMatchObject({ name: "TimeoutError" });
});

test("the bound holds also within a try", async () => {
  const { result, took } = await run(hanging(), { tryMs: 60_000, totalMs: 5_000 });
  expect([took, result.tries]).toEqual([5_000, 1]);
});

test("a problem whose body breaks off is a lost answer", async () => {
  const broken = () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(LOST()) });
    return new Response(body, { status: 409, headers: { "content-type": "application/problem+json" } });
  };
  expect((await run(server(broken, () => answer(201)))).result).toMatchObject({ outcome: "done", tries: 2 });
});

test("aborting before anything was sent means not sent", async () => {
  const web = server(() => answer(201));
  const { result } = await run(web, {}, { signal: AbortSignal.abort() });
  expect(result).toMatchObject({ outcome: "not-sent", tries: 0, error: { name: "AbortError" } });
  expect(web.requests).toEqual([]);
});

test("aborting while it is sent leaves it unknown", async () => {
  const web = hanging();
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("left")), 50);
  const { result, states, took } = await run(web, {}, { signal: controller.signal });
  expect(result).toMatchObject({ outcome: "unknown", tries: 1, error: { message: "left" } });
  expect(web.requests[0]!.signal!.aborted).toBe(true);
  expect(states.at(-1)).toBe("maybe-saved");
  expect(took).toBe(50);
});

test("aborting during a pause ends it at once", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  const web = server(() => answer(503, { "retry-after": "30" }), hang);
  const { result, took } = await run(web, {}, { signal: controller.signal });
  expect([took, web.requests.length, result.outcome]).toEqual([50, 1, "unknown"]);
});

test("aborting during a pause after a limit leaves nothing done", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  const web = server(() => answer(429, { "retry-after": "30" }));
  const { result } = await run(web, {}, { signal: controller.signal });
  expect([result.outcome, result.response!.status]).toEqual(["done", 429]);
  expect(await result.response!.text(), "the answer can be read").toBe("the body");
});

test("a request that can never be sent is a mistake, not a loss", async () => {
  const web = server(() => answer(201));
  const attempt = createAttempt();
  const options = { fetch: web.fetch };
  await expect(send(attempt, "https://", {}, options)).rejects.toThrow(TypeError);
  await expect(send(attempt, URL, { method: "GET", body: "x" }, options)).rejects.toThrow(TypeError);
  expect([attempt.state, web.requests.length]).toEqual(["idle", 0]);
});

test("the identity may change while it is sent", async () => {
  const attempt = createAttempt({ identity: "ada" });
  const web = server(() => answer(201));
  const sent = send(attempt, URL, {}, { fetch: web.fetch });
  attempt.identify("bob");
  const bob = attempt.key();
  expect((await sent).outcome).toBe("done");
  expect([attempt.key(), attempt.state]).toEqual([bob, "idle"]);
});

test("a form's bytes are the same in every retry, and in the next call", async () => {
  const form = new FormData();
  form.append('a "name"\n', "line\nline\r\n");
  form.append("file", new File(["content"], 'x".txt', { type: "text/plain" }));
  const web = server(LOST, LOST, () => answer(201));
  const attempt = createAttempt();
  const options = { fetch: web.fetch, maxTries: 1 };
  for (let press = 0; press < 3; press++) await send(attempt, URL, { body: form }, options);
  const bodies = web.requests.map((request) => request.init.body as Blob);
  expect(new Set(bodies.map((body) => body.type)).size).toBe(1);
  expect(new Set(await Promise.all(bodies.map((body) => body.text()))).size).toBe(1);
  const decoded = await new Response(bodies[0]!).formData();
  expect(decoded.get("file")).toMatchObject({ name: 'x".txt', type: "text/plain", size: 7 });
  expect([...decoded.values()][0]).toBe("line\r\nline\r\n");
});
