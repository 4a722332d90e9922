/** Whether an answer is a replay: `"omitted"` is one whose body the server did not keep. */
export type Replay = boolean | "omitted";

/** Reads `X-Idempotency-Replay`. */
export function replayOf(response: Response): Replay {
  const value = response.headers.get("x-idempotency-replay");
  return value === "omitted" ? value : value === "true";
}

/** Whether the server keeps this answer, so that every retry would get the same one. */
export function isKept(response: Response): boolean {
  return !!replayOf(response) || response.headers.get("x-idempotency-stored") === "true";
}

/** Whether the answer is a yes. A redirect that is not followed is one, too. */
export function isYes(response: Response): boolean {
  return response.status < 400 && response.type !== "error";
}

/**
 * Reads the code of a problem document (`code`), or of the other common shape (`error.code`).
 * The answer's own body stays unread.
 *
 * @throws if the connection breaks while the body is read
 */
export async function codeOf(response: Response): Promise<string | undefined> {
  if (isYes(response) || !/json/.test(response.headers.get("content-type") ?? "")) return;
  const text = await response.clone().text();
  try {
    const body = JSON.parse(text);
    const code = body.code ?? body.error.code;
    return typeof code === "string" ? code : undefined;
  } catch {
    return;
  }
}

/**
 * Reads `Retry-After`, in milliseconds; 0 if there is none.
 *
 * A date is compared with the server's own clock where that is visible: this machine's may be off.
 */
export function retryAfterMs(response: Response): number {
  const value = response.headers.get("retry-after") ?? "";
  if (/^\d+$/.test(value)) return +value * 1000;
  const now = Date.parse(response.headers.get("date") ?? "") || Date.now();
  return Math.max(Date.parse(value) - now, 0) || 0;
}
