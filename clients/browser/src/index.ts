/**
 * Keys and retries for forms whose submissions must not happen twice.
 *
 * @module
 */
export { createAttempt } from "./attempt.js";
export type { Attempt, AttemptOptions, KeyStorage, State, Turn } from "./attempt.js";
export type { Replay } from "./answer.js";
export { submitOnce } from "./form.js";
export type { FormOptions } from "./form.js";
export { mintKey } from "./key.js";
export type { RandomSource } from "./key.js";
export { send } from "./send.js";
export type { Result, SendInit, SendOptions } from "./send.js";
