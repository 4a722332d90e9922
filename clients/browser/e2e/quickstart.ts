import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A row of its database. */
export interface Row {
  id: string;
  amount: number;
  currency: string;
}

/** A running quickstart with an empty database of its own. */
export interface Quickstart {
  url: string;
  rows(): Promise<Row[]>;
  stop(): Promise<void>;
}

/** Starts the program that `QUICKSTART` names, or the one that was built last. */
export async function startQuickstart(): Promise<Quickstart> {
  const built = new URL("../../../target/debug/quickstart", import.meta.url).pathname;
  const folder = mkdtempSync(join(tmpdir(), "quickstart-"));
  const file = join(folder, "quickstart.db");
  const program = spawn(process.env.QUICKSTART ?? built, ["--listen", "127.0.0.1:0", "--file", file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // A test run that is cut short leaves no server.
  const kill = () => program.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => program.once("close", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    program.once("error", reject);
    program.once("close", () => reject(new Error("quickstart ended before it listened")));
    createInterface(program.stdout).on("line", (line) => {
      const found = /^listening on (\S+)/.exec(line);
      if (found) resolve(found[1]!);
    });
  });
  return {
    url,
    rows: async () => (await (await fetch(`${url}/payments`)).json()) as Row[],
    async stop() {
      kill();
      process.off("exit", kill);
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
