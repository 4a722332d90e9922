// What a person does, with the client, against every example: the rows are the same ones.
import { describe, expect, test } from "vitest";
import { entryOf } from "./entry.js";
import { setScene } from "./scene.js";

describe.each(["quickstart", "assessments", "forms"] as const)("the client with %s", (name) => {
  const scene = setScene(name);
  const { open, shows, press, results } = entryOf(name, scene);
  const who = () => scene.example.who();

  test("a double click is one row", async () => {
    await open();
    await scene.page.dblclick("button");
    await shows("saved");
    expect(await who()).toEqual(["ADA"]);
    expect(scene.proxy.posts.length).toBe(1);
  });

  test("presses while it is sent are one row", async () => {
    await open();
    const release = scene.proxy.holdAnswers();
    await press("sending");
    await scene.page.click("button");
    await scene.page.dblclick("button");
    release();
    await shows("saved");
    expect(await who()).toEqual(["ADA"]);
    expect(scene.proxy.posts.length).toBe(1);
  });

  test("lost answers are asked for again: one row", async () => {
    await open();
    scene.proxy.loseAnswers(2);
    await press("saved");
    expect(await who()).toEqual(["ADA"]);
    expect(scene.proxy.posts.map((post) => [post.lost, post.replay])).toEqual([
      [true, undefined],
      [true, "true"],
      [false, "true"],
    ]);
    expect(scene.keys().length).toBe(1);
    expect(await results()).toMatchObject([{ outcome: "done", replay: true, tries: 3 }]);
  });

  test("what may have been saved says so, and a press makes sure: one row", async () => {
    await open("maxTries=1");
    scene.proxy.loseAnswers(1);
    await press("maybe-saved");
    await press("saved");
    expect(await who()).toEqual(["ADA"]);
    expect(await results()).toMatchObject([
      { outcome: "unknown", tries: 1 },
      { outcome: "done", replay: true },
    ]);
  });

  test("going back to a form that was kept is a new entry", async () => {
    await open();
    await press("saved");
    await scene.goAndComeBack();
    await shows("idle");
    await scene.page.fill("[name=amount]", "700");
    await press("saved");
    expect(await who()).toEqual(["ADA", "ADA"]);
    expect(scene.keys().length).toBe(2);
    expect(scene.proxy.posts.map((post) => post.replay)).toEqual([undefined, undefined]);
  });

  test("going back to a form whose answer was lost is the same entry", async () => {
    await open("maxTries=1");
    scene.proxy.loseAnswers(1);
    await press("maybe-saved");
    await scene.goAndComeBack();
    await press("saved");
    expect(await who()).toEqual(["ADA"]);
  });

  test("another student is another row, also after a lost answer, and the first stays one", async () => {
    await open("maxTries=1");
    scene.proxy.loseAnswers(1);
    await press("maybe-saved");
    await scene.page.selectOption("select", "BOB");
    await shows("idle");
    await press("saved");
    await scene.page.selectOption("select", "ADA");
    await shows("maybe-saved");
    await press("saved");
    expect(await who()).toEqual(["ADA", "BOB"]);
    expect(scene.keys().length).toBe(2);
  });

  test("another student can be saved while the first is sent", async () => {
    await open();
    const release = scene.proxy.holdAnswers();
    await press("sending");
    await scene.page.selectOption("select", "BOB");
    await shows("idle");
    await press("sending");
    release();
    await shows("saved");
    await expect.poll(async () => (await results()).length).toBe(2);
    expect(await who()).toEqual(["ADA", "BOB"]);
  });

  test("a reload is a new entry", async () => {
    await open("maxTries=1");
    scene.proxy.loseAnswers(1);
    await press("maybe-saved");
    await scene.page.reload();
    await shows("idle");
    await scene.page.fill("[name=amount]", "700");
    await press("saved");
    expect(await who()).toEqual(["ADA", "ADA"]);
    expect(scene.keys().length).toBe(2);
  });

  test("a reload of a page with a storage is the same entry, until it is saved", async () => {
    await open("maxTries=1&persist=yes");
    scene.proxy.loseAnswers(1);
    await press("maybe-saved");
    await scene.page.reload();
    await shows("maybe-saved");
    await press("saved");
    expect(await who()).toEqual(["ADA"]);
    await scene.page.reload();
    await shows("idle");
    await scene.page.fill("[name=amount]", "700");
    await press("saved");
    expect(await who()).toEqual(["ADA", "ADA"]);
  });

  test("a reload in the middle of sending is the same entry for a page with a storage", async () => {
    await open("persist=yes");
    const release = scene.proxy.holdAnswers();
    await press("sending");
    await expect.poll(() => scene.proxy.posts.length).toBe(1);
    await scene.page.reload();
    await shows("maybe-saved");
    release();
    await press("saved");
    expect(await who()).toEqual(["ADA"]);
  });
});
