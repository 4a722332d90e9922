// The page of forms, which uses the client, through a proxy that loses answers.
import { describe, expect, test } from "vitest";
import { setScene } from "./scene.js";
import type { Scene } from "./scene.js";

/** How often the page tries by itself. */
const TRIES = 3;

/** What a person does on the page. */
function personAt(scene: Scene) {
  const { type, ...fields } = {
    async type(name: string, value: string) {
      await scene.page.fill(`[name=${name}]`, value);
    },
    async state(state: string) {
      await scene.page.waitForSelector(`#entry[data-state="${state}"]`, { timeout: 15_000 });
    },
    async says(text: string) {
      await expect.poll(() => scene.page.textContent("#said"), { timeout: 10_000 }).toContain(text);
    },
    /** Opens the page, and enters a patient. */
    async begin(patient: string) {
      await scene.open();
      await fields.state("idle");
      await type("patient", patient);
      await type("attachment", "scan");
    },
    async press(state: string) {
      await scene.page.click("button");
      await fields.state(state);
    },
    /** Presses while no answer gets through, until the page gives up. */
    async pressInVain() {
      scene.proxy.loseAnswers(TRIES);
      await fields.press("maybe-saved");
      await fields.says("Maybe saved: press save again, it is safe.");
    },
  };
  return { type, ...fields };
}

describe("the page of forms", () => {
  const scene = setScene("forms");
  const person = personAt(scene);

  /** Student and number of every entry; as many uploads as entries were kept. */
  async function entries(): Promise<string[]> {
    const rows = await scene.example.rows();
    expect(scene.example.uploads(), "uploads").toBe(rows.length);
    return rows.map((row) => `${row.student} ${row.number}`).sort();
  }

  test("a double click is one entry", async () => {
    await person.begin("p1");
    await scene.page.dblclick("button");
    await person.says("Saved: ");
    expect(await entries()).toEqual(["ada 1"]);
    expect(scene.proxy.posts.length).toBe(1);
    await expect.poll(() => scene.page.$$eval("#rows tr", (rows) => rows.length)).toBe(1);
  });

  test("a lost answer is asked for again: one entry", async () => {
    await person.begin("p1");
    scene.proxy.loseAnswers(2);
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1"]);
    expect(scene.proxy.posts.map((post) => post.replay)).toEqual([undefined, "true", "true"]);
    expect(scene.keys().length).toBe(1);
  });

  test("a press after all answers were lost is the same entry", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1"]);
    expect([scene.proxy.posts.length, scene.keys().length]).toEqual([TRIES + 1, 1]);
  });

  test("other content after all answers were lost is not saved beside it", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await person.type("patient", "p2");
    await scene.page.click("button");
    await person.says("Not saved: what you had entered before may be.");
    expect(await entries()).toEqual(["ada 1"]);
  });

  test("going back after a success is a new entry", async () => {
    await person.begin("p1");
    await person.press("saved");
    await scene.goAndComeBack();
    await person.state("idle");
    await person.type("patient", "p2");
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1", "ada 2"]);
    expect(scene.keys().length).toBe(2);
  });

  test("going back after all answers were lost is the same entry", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await scene.goAndComeBack();
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1"]);
    expect(scene.keys().length).toBe(1);
  });

  test("another student is another entry, and the first stays one", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await person.type("student", "bob");
    await person.state("idle");
    await person.type("patient", "p2");
    await person.press("saved");
    await person.type("student", "ada");
    await person.state("maybe-saved");
    await person.type("patient", "p1");
    await person.type("attachment", "scan");
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1", "bob 1"]);
    expect(scene.keys().length).toBe(2);
  });

  test("a reload is a new entry, and what must be unique is not doubled by it", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await person.begin("p1");
    await person.press("failed");
    await person.says("Refused: PATIENT_EXISTS");
    await person.type("patient", "p2");
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1", "ada 2"]);
  });

  test("without a network nothing is sent, and it says so", async () => {
    await person.begin("p1");
    await scene.page.context().setOffline(true);
    await person.press("failed");
    await person.says("Not sent: you are offline.");
    expect(scene.proxy.posts).toEqual([]);
    await scene.page.context().setOffline(false);
    await person.press("saved");
    expect(await entries()).toEqual(["ada 1"]);
  });
});

describe("the page of forms, with the token in the row alone", () => {
  const scene = setScene("forms", ["--protection", "token"]);
  const person = personAt(scene);

  test("a lost answer and a press find the one entry", async () => {
    await person.begin("p1");
    await person.pressInVain();
    await person.press("saved");
    expect(scene.proxy.posts.map((post) => post.status)).toEqual([201, 200, 200, 200]);
    expect(await scene.example.who()).toEqual(["ada"]);
  });
});

describe("the page of forms, with nothing against a second entry", () => {
  const scene = setScene("forms", ["--protection", "none"]);
  const person = personAt(scene);

  test("who lost the answer is refused for what was saved, or saves it twice", async () => {
    await person.begin("p1");
    scene.proxy.loseAnswers(1);
    await person.press("maybe-saved");
    expect(scene.proxy.posts.map((post) => post.status)).toEqual([201, 409]);
    await person.type("patient", "p1 again");
    await person.press("saved");
    expect(await scene.example.who()).toEqual(["ada", "ada"]);
  });
});
