import { codeOf, isKept, isYes, replayOf, retryAfterMs } from "./answer.js";
import type { Replay } from "./answer.js";
import type { Attempt } from "./attempt.js";
import { encodeForm } from "./multipart.js";

/** What `fetch` takes, but for bodies that can be read only once. The default method is POST. */
export type SendInit = Omit<RequestInit, "body"> & {
  /** Must be the same bytes in every retry; a `FormData` is encoded so that it is. */
  body?: Exclude<BodyInit, ReadableStream> | null;
};

/** How long and how often to try. */
export interface SendOptions {
  /**
   * When to stop, pauses included, in milliseconds. Default: 60 000. Longer for large uploads;
   * shorter if somebody waits in front of it: a later press goes on with the same key.
   */
  totalMs?: number;
  /** How many tries at most. Default: as many as there is time for; 1 leaves retries to people. */
  maxTries?: number;
  /** How long one try may take, in milliseconds. Default: 20 000. Longer for large uploads. */
  tryMs?: number;
  /** The longest first pause, in milliseconds; each one may be twice as long. Default: 300. */
  firstPauseMs?: number;
  /** The longest pause that the client chooses, in milliseconds. Default: 8 000. */
  longestPauseMs?: number;
  /** What sends. Default: the global `fetch`. */
  fetch?: typeof fetch;
}

/** What became of it. */
export type Result =
  | {
      /** The server has decided, and `response.ok` says how. */
      outcome: "done";
      response: Response;
      /** Whether an earlier try had done it already. */
      replay: Replay;
      /** The code of a problem document, if the answer is one. */
      code?: string | undefined;
      error?: undefined;
      tries: number;
    }
  | {
      /**
       * It was sent, and may have been carried out: "maybe saved". The key stays, so sending again
       * is safe. With `code` `IDEMPOTENCY_KEY_REUSED`, an earlier request with other content may
       * have been carried out, and this one was not; with `OUTCOME_UNKNOWN` or
       * `ATTEMPTS_EXHAUSTED`, sending again does not help.
       */
      outcome: "unknown";
      /** The last answer, if the last try had one. */
      response?: Response | undefined;
      code?: string | undefined;
      /** Why the last try had no answer, or why it was given up. */
      error?: unknown;
      tries: number;
    }
  | {
      /** Nothing left this machine. The key stays. */
      outcome: "not-sent";
      response?: undefined;
      code?: undefined;
      error: unknown;
      tries: number;
    };

/** Answers behind which something may have been saved. */
const UNDECIDED = /^(OUTCOME_UNKNOWN|ATTEMPTS_EXHAUSTED|IDEMPOTENCY_KEY_REUSED)$/;

/** What one try led to. */
interface Reply {
  response?: Response;
  code?: string | undefined;
  error?: unknown;
}

/**
 * Sends a request with the attempt's key until it has an answer.
 *
 * Tries again, with the same key, when the connection or a try's time ends without an answer, and
 * on 409 `REQUEST_IN_PROGRESS` (or a 409 with `Retry-After` and no code), 408, 429 and 5xx, unless
 * the answer says that it is kept. The pauses grow, are random between nothing and their bound
 * (full jitter), and are never shorter than `Retry-After`. Gives up when the next try would begin
 * after `totalMs`.
 *
 * Aborting `init.signal` ends it with a result, too: what was sent before may have been saved.
 *
 * @throws TypeError for what `fetch` could never send, such as a malformed address
 */
export async function send(
  attempt: Attempt,
  input: string | URL,
  init: SendInit = {},
  options: SendOptions = {},
): Promise<Result> {
  const { totalMs = 60_000, maxTries, tryMs = 20_000, firstPauseMs = 300 } = options;
  const { longestPauseMs = 8_000 } = options;
  const request = { method: "POST", ...init };
  // Otherwise a mistake would look like a connection that keeps breaking.
  new Request(input, { ...request, signal: null });
  const turn = attempt.begin();
  request.headers = new Headers(init.headers);
  request.headers.set("Idempotency-Key", `"${turn.key}"`);
  if (init.body instanceof FormData) request.body = encodeForm(init.body, turn.key);

  const signal = init.signal;
  const end = performance.now() + totalMs;
  let { unsure } = turn;
  let tries = 0;
  let reply: Reply = {};
  for (let longest = firstPauseMs; ; longest = Math.min(longest * 2, longestPauseMs)) {
    if (signal?.aborted) return stop(signal.reason);
    const isOffline = globalThis.navigator?.onLine === false;
    tries++;
    reply = await once(Math.min(tryMs, end - performance.now()));
    const { response, code } = reply;
    if (response && !isWorthRetrying(response, code)) return finish(response, code);
    if (response ? response.status !== 429 : !isOffline) unsure = true;
    const pause = (response ? retryAfterMs(response) : 0) + Math.random() * longest;
    const isOver = tries === maxTries || performance.now() + pause >= end;
    if (isOver || signal?.aborted) return stop(reply.error);
    await sleep(pause, signal);
    if (!signal?.aborted) response?.body?.cancel().catch(() => {});
  }

  /** Tries once. The time is bounded until the answer, and the code in it, are there. */
  async function once(ms: number): Promise<Reply> {
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    const timer = setTimeout(() => controller.abort(new DOMException("too slow", "TimeoutError")), ms);
    signal?.addEventListener("abort", abort);
    try {
      const go = options.fetch ?? fetch;
      const response = await go(input, { ...request, signal: controller.signal });
      return { response, code: await codeOf(response) };
    } catch (error) {
      signal?.removeEventListener("abort", abort);
      return { error };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends with an answer that no retry would change. */
  function finish(response: Response, code: string | undefined): Result {
    const isDecided =
      isYes(response) ||
      isKept(response) ||
      // A refusal by somebody in front says nothing about what was sent before.
      !(unsure || UNDECIDED.test(code ?? ""));
    const result: Result = isDecided
      ? { outcome: "done", response, replay: replayOf(response), code, tries }
      : { outcome: "unknown", response, code, tries };
    turn.end(!isDecided ? "maybe-saved" : isYes(response) ? "saved" : "failed", isDecided, result);
    return result;
  }

  /** Ends because there is no more time, or no more wish. */
  function stop(error: unknown): Result {
    const { response, code } = reply;
    const result: Result = unsure
      ? { outcome: "unknown", response, code, error, tries }
      : response
        ? { outcome: "done", response, replay: false, code, tries }
        : { outcome: "not-sent", error, tries };
    turn.end(unsure ? "maybe-saved" : "failed", false, result);
    return result;
  }
}

function isWorthRetrying(response: Response, code: string | undefined): boolean {
  const { status, headers } = response;
  if (isKept(response)) return false;
  // An application has conflicts of its own; a server without codes tells this one by Retry-After.
  if (status === 409) return code ? code === "REQUEST_IN_PROGRESS" : headers.has("retry-after");
  return status === 408 || status === 429 || status >= 500;
}

/** Waits, but not longer than until the signal aborts. */
function sleep(ms: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake);
  });
}
