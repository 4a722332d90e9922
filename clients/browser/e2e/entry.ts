import type { Name } from "./example.js";
import type { Scene } from "./scene.js";

/** How tests use form.html. */
export interface Entry {
  open(query?: string): Promise<void>;
  /** Waits until the page shows a state. */
  shows(state: string): Promise<void>;
  /** Presses the button, and waits for a state. */
  press(state: string): Promise<void>;
  /** What became of each submission. */
  results(): Promise<unknown[]>;
}

/** Uses form.html, in a scene, for its server. */
export function entryOf(name: Name, scene: Scene): Entry {
  async function shows(state: string): Promise<void> {
    const isShown = (state: string) => document.querySelector("output")!.textContent === state;
    await scene.page.waitForFunction(isShown, state, { timeout: 10_000 });
  }
  return {
    async open(query = "") {
      await scene.open(`/form.html?example=${name}&${query}`);
      await scene.page.waitForSelector("[data-ready]");
    },
    shows,
    async press(state) {
      await scene.page.click("button");
      await shows(state);
    },
    results: () => scene.page.evaluate("window.results"),
  };
}
