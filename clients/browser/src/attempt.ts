import { mintKey } from "./key.js";
import type { Result } from "./send.js";

/**
 * What a form shows.
 *
 * - `idle`: nothing has been sent for this entry.
 * - `sending`: a request is under way, or waits for its next try.
 * - `maybe-saved`: it was sent, and what became of it is not known. Submitting again is safe.
 * - `saved`: the server said yes. The key is spent.
 * - `failed`: the server said no, or nothing left this machine. Nothing was saved.
 */
export type State = "idle" | "sending" | "maybe-saved" | "saved" | "failed";

/** The part of `sessionStorage` that is used. */
export type KeyStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** How an {@link Attempt} is made. */
export type AttemptOptions = {
  /**
   * What the entry is about: the student, the class, the invoice. Any value that JSON can hold, or
   * a function that returns one and is asked whenever the key is needed. Another value is another
   * entry, and gets another key; coming back to one that may have been saved brings its key back.
   * Default: there is only one entry.
   *
   * Leave out what the user types: a corrected amount is the same entry as long as it is not known
   * whether the first one was saved.
   */
  identity?: unknown;
  /** Is told of every change of {@link Attempt.state}, with the result that led to it. */
  onState?: (state: State, result?: Result) => void;
} & (
  | {
      /**
       * Where the keys of what may have been saved outlive a reload of the page:
       * `sessionStorage`. Default: nowhere; a full reload is a new entry.
       */
      storage: KeyStorage;
      /** The name under which it is stored: another one for every form of the site. */
      name: string;
    }
  | { storage?: undefined; name?: undefined }
);

/** One logical attempt: what a person means by one press of "Save", however often it is sent. */
export interface Attempt {
  /** What the form shows. */
  readonly state: State;
  /** Returns the key: the same one for every retry, until the entry changes or has succeeded. */
  key(): string;
  /** Says what the entry is about from now on; another value than before gets another key. */
  identify(identity: unknown): void;
  /** Notes a success: the key is spent, and the next entry gets another one. */
  done(): void;
  /**
   * Begins a new entry, whatever became of the last one.
   *
   * After `maybe-saved` only a person who has looked should cause this: the earlier entry may be
   * there.
   */
  renew(): void;
  /** Begins to send. `send` calls this; call it yourself around `XMLHttpRequest` and the like. */
  begin(): Turn;
}

/** One call of `send`: some tries, all with one key. */
export interface Turn {
  /** The key of all its tries. */
  readonly key: string;
  /** Whether a request with this key was sent earlier and what became of it is not known. */
  readonly unsure: boolean;
  /**
   * Ends it, once. If the attempt has gone on to another entry meanwhile, that one is not touched.
   *
   * @param spent whether the key has its final answer, so that the next entry needs another one
   */
  end(state: "maybe-saved" | "saved" | "failed", spent: boolean, result?: Result): void;
}

/** One thing that is being entered. */
interface Entry {
  /** Empty once it is spent. */
  key: string;
  state: State;
  /** Whether a request is out, or has been, whose outcome is not known. */
  sent: boolean;
  /** Whether one of them has ended without an outcome. */
  lost: boolean;
  /** How many turns are under way. */
  turns: number;
}

/** Begins a logical attempt, usually one for each form that is shown. */
export function createAttempt(options: AttemptOptions = {}): Attempt {
  const { storage, name, onState } = options;
  let { identity } = options;
  let about = comparable(identity);
  // More than one: whoever goes on to another student and comes back must find the key of what may
  // have been saved.
  const entries = load();
  let shown = present().state;

  function present(): Entry {
    return (entries[about] ??= { key: "", state: "idle", sent: false, lost: false, turns: 0 });
  }

  /** Notices that the entry has become another one. */
  function look(): Entry {
    const now = comparable(identity);
    if (now !== about) {
      if (!present().sent) delete entries[about];
      about = now;
      show();
    }
    return present();
  }

  function withKey(): Entry {
    const entry = look();
    if (!entry.key) {
      entry.key = mintKey();
      store();
    }
    return entry;
  }

  function change(entry: Entry, state: State, result?: Result): void {
    entry.state = state;
    store();
    if (entry === present()) show(result);
  }

  function show(result?: Result): void {
    const { state } = present();
    if (state === shown && !result) return;
    shown = state;
    onState?.(state, result);
  }

  function spend(entry: Entry, state: State, result?: Result): void {
    entry.key = "";
    entry.sent = entry.lost = false;
    entry.turns = 0;
    change(entry, state, result);
  }

  function begin(): Turn {
    const entry = withKey();
    const { key, sent } = entry;
    entry.sent = true;
    entry.turns++;
    // This also stores that it is sent: the page may be gone before there is an answer.
    change(entry, "sending");
    return {
      key,
      unsure: sent,
      end(state, spent, result) {
        look();
        if (entry.key !== key) return;
        if (spent) return spend(entry, state, result);
        if (state === "maybe-saved") entry.lost = true;
        if (--entry.turns) return;
        entry.sent = entry.lost;
        change(entry, entry.lost ? "maybe-saved" : state, result);
      },
    };
  }

  function load(): Record<string, Entry> {
    try {
      const found: [string, string][] = JSON.parse(storage!.getItem(name!)!);
      const before = { state: "maybe-saved", sent: true, lost: true, turns: 0 } as const;
      return Object.fromEntries(found.map(([about, key]) => [about, { key, ...before }]));
    } catch {
      return {};
    }
  }

  /** Stores the keys of what was sent: only these matter to a page that is loaded again. */
  function store(): void {
    const kept = Object.entries(entries).filter(([, entry]) => entry.sent);
    try {
      if (kept[0]) storage?.setItem(name!, JSON.stringify(kept.map(([about, { key }]) => [about, key])));
      else storage?.removeItem(name!);
    } catch {
      // A full or forbidden storage leaves what there is without one: a reload is a new entry.
    }
  }

  return {
    get state() {
      return look().state;
    },
    key: () => withKey().key,
    identify(next) {
      identity = next;
      look();
    },
    done: () => spend(look(), "saved"),
    renew: () => spend(look(), "idle"),
    begin,
  };
}

/** Text that is equal for equal values, in whatever order their members are. */
function comparable(identity: unknown): string {
  const value = typeof identity === "function" ? identity() : identity;
  return String(
    JSON.stringify(value, (_, part) =>
      part && typeof part === "object" && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
        : part,
    ),
  );
}
