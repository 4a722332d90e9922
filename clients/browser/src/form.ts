import type { Attempt } from "./attempt.js";
import { send } from "./send.js";
import type { Result, SendInit, SendOptions } from "./send.js";

/** How a form is sent. */
export interface FormOptions extends SendOptions {
  /**
   * What to send besides: headers, say, or a `body` of your own. Default body: the form's fields,
   * encoded as its `enctype` says.
   */
  init?: (form: HTMLFormElement, submitter: HTMLElement | null) => SendInit;
  /** Where to. Default: the form's `action`. */
  url?: string | URL;
  /** Is told what became of each submission. */
  onResult?: (result: Result) => void;
  /**
   * How long after a success a further press counts as the same one, in milliseconds: the second
   * half of a double click. Default: 1 000.
   */
  quietMs?: number;
}

/**
 * Sends a form through {@link send} instead of navigating, and ignores a submission while one of
 * the same entry is under way or has just succeeded. Disables nothing: show the state as you like.
 *
 * A form that the browser kept and brings back (back-forward cache) is a new entry if it had
 * been saved; one that was not keeps its key.
 *
 * @returns a function that lets the form be as it was
 */
export function submitOnce(
  form: HTMLFormElement,
  attempt: Attempt,
  options: FormOptions = {},
): () => void {
  const { quietMs = 1_000 } = options;
  let savedAt = -Infinity;

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const { state } = attempt;
    const isJustSaved = state === "saved" && performance.now() - savedAt < quietMs;
    if (state === "sending" || isJustSaved) return;
    const init = { ...options.init?.(form, event.submitter) };
    init.body ??= fields(form, event.submitter);
    const url = options.url ?? form.getAttribute("action") ?? location.href;
    const result = await send(attempt, url, init, options);
    savedAt = performance.now();
    options.onResult?.(result);
  }

  function comeBack(event: PageTransitionEvent): void {
    if (event.persisted && attempt.state === "saved") attempt.renew();
  }

  form.addEventListener("submit", submit);
  globalThis.addEventListener?.("pageshow", comeBack);
  return () => {
    form.removeEventListener("submit", submit);
    globalThis.removeEventListener?.("pageshow", comeBack);
  };
}

/** Encodes a form's fields as the browser would. */
function fields(form: HTMLFormElement, submitter: HTMLElement | null): FormData | URLSearchParams {
  const data = new FormData(form);
  const { name, value } = (submitter ?? {}) as Partial<HTMLButtonElement>;
  if (name) data.append(name, value ?? "");
  if (form.enctype === "multipart/form-data") return data;
  const body = new URLSearchParams();
  data.forEach((value, name) => body.append(name, typeof value === "string" ? value : value.name));
  return body;
}
