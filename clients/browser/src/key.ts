/** What a key can be made from; `globalThis.crypto` has all of it in a recent browser. */
export interface RandomSource {
  randomUUID?: () => string;
  getRandomValues?: (array: Uint8Array<ArrayBuffer>) => unknown;
}

/**
 * Makes a key: a random UUID, version 4, in lower case.
 *
 * Takes the best source there is: `crypto.randomUUID`, else `crypto.getRandomValues` (Safari
 * before 15.4, pages that did not come over HTTPS), else `Math.random`. The last one can be
 * guessed; it is still far better than no key, since a key only counts for its own user.
 */
export function mintKey(source: RandomSource | undefined = globalThis.crypto): string {
  if (source?.randomUUID) return source.randomUUID();
  const bytes = new Uint8Array(16);
  if (source?.getRandomValues) source.getRandomValues(bytes);
  else bytes.forEach((_, at) => (bytes[at] = Math.random() * 256));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
