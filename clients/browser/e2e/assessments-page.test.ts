// The page of assessments, which has a script of its own, through a proxy that loses answers.
import { describe, expect, test } from "vitest";
import { setScene } from "./scene.js";
import type { Scene } from "./scene.js";

/** What a person does on the page. */
function personAt(scene: Scene) {
  const person = {
    async says(text: string) {
      await expect.poll(() => scene.page.textContent("#said"), { timeout: 10_000 }).toContain(text);
    },
    async press(text: string) {
      // What was said before must not be taken for what is said now.
      await scene.page.$eval("#said", (said) => (said.textContent = ""));
      await scene.page.click("button");
      await person.says(text);
    },
    async pressInVain() {
      scene.proxy.loseAnswers(1);
      await person.press("No answer: click again, it is safe.");
    },
  };
  return person;
}

/** Patients and numbers, without the series. */
async function started(scene: Scene): Promise<string[]> {
  const rows = await scene.example.rows();
  return rows.map((row) => `${row.patient} ${String(row.number).split("-").at(-1)}`);
}

describe("the page of assessments", () => {
  const scene = setScene("assessments");
  const person = personAt(scene);

  test("a double click shows the one assessment", async () => {
    await scene.open();
    await scene.page.dblclick("button");
    await expect.poll(() => scene.proxy.posts.length).toBe(2);
    await person.says("201");
    expect(scene.proxy.posts.map((post) => post.status)).toEqual([201, 201]);
    expect(scene.proxy.posts.filter((post) => post.replay).length).toBe(1);
    expect(scene.keys().length).toBe(1);
    expect(await started(scene)).toEqual(["Ada 001"]);
    await expect.poll(() => scene.page.$$eval("#rows tr", (rows) => rows.length)).toBe(1);
  });

  test("a click after a lost answer shows the one assessment", async () => {
    await scene.open();
    await person.pressInVain();
    await person.press("-001");
    expect(await started(scene)).toEqual(["Ada 001"]);
    expect(scene.proxy.posts.map((post) => post.replay)).toEqual([undefined, "true"]);
  });

  test("going back shows the one assessment, answered or not", async () => {
    await scene.open();
    await person.pressInVain();
    await scene.goAndComeBack();
    await person.press("-001");
    await scene.goAndComeBack();
    await person.press("-001");
    expect(await started(scene)).toEqual(["Ada 001"]);
  });

  test("another patient is another assessment, and the first stays one", async () => {
    await scene.open();
    await person.pressInVain();
    await scene.page.fill("#patient", "Bob");
    await person.press("-002");
    await scene.page.fill("#patient", "Ada");
    await person.press("-001");
    expect(await started(scene)).toEqual(["Ada 001", "Bob 002"]);
    expect(scene.keys().length).toBe(2);
  });

  test("a reload, or asking for another one, is another assessment", async () => {
    await scene.open();
    await person.press("-001");
    await scene.page.reload();
    await person.press("-002");
    await scene.page.click("a");
    await person.press("-003");
    expect(await started(scene)).toEqual(["Ada 001", "Ada 002", "Ada 003"]);
    expect(scene.keys().length).toBe(3);
  });
});

describe("the page of assessments, without the layer", () => {
  const scene = setScene("assessments", ["--without-layer"]);
  const person = personAt(scene);

  test("a double click starts two assessments", async () => {
    await scene.open();
    await scene.page.dblclick("button");
    await expect.poll(() => started(scene), { timeout: 10_000 }).toEqual(["Ada 001", "Ada 002"]);
  });

  test("a click after a lost answer starts a second assessment", async () => {
    await scene.open();
    await person.pressInVain();
    await person.press("-002");
    expect(await started(scene)).toEqual(["Ada 001", "Ada 002"]);
  });
});
