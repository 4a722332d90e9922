import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What is different between them: where they list their rows, and what names whom a row is for. */
const LISTS = {
  quickstart: { path: "/payments", who: "currency" },
  assessments: { path: "/assessments", who: "patient" },
  forms: { path: "/practicas", who: "student" },
};

export type Name = keyof typeof LISTS;

/** A row of a database. */
export type Row = Record<string, unknown>;

/** A running example with an empty database of its own. */
export interface Example {
  url: string;
  /** Asks the server itself what its database has. */
  rows(): Promise<Row[]>;
  /** For whom there are rows, sorted. */
  who(): Promise<unknown[]>;
  /** How many files were uploaded and kept. */
  uploads(): number;
  stop(): Promise<void>;
}

/** Starts one of the programs in the folder that `EXAMPLES` names, or the one that was built last. */
export async function startExample(name: Name, options: string[] = []): Promise<Example> {
  const built = new URL("../../../target/debug", import.meta.url).pathname;
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  const place = name === "quickstart" ? ["--file", join(folder, "quickstart.db")] : ["--folder", folder];
  const file = join(process.env.EXAMPLES ?? built, name);
  const program = spawn(file, ["--listen", "127.0.0.1:0", ...place, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // A test run that is cut short leaves no server.
  const kill = () => program.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => program.once("close", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    program.once("error", reject);
    program.once("close", () => reject(new Error(`${name} ended before it listened`)));
    createInterface(program.stdout).on("line", (line) => {
      const found = /^listening on (\S+)/.exec(line);
      if (found) resolve(found[1]!);
    });
  });
  const { path, who } = LISTS[name];
  const rows = async () => (await (await fetch(url + path)).json()) as Row[];
  return {
    url,
    rows,
    who: async () => (await rows()).map((row) => row[who]).sort(),
    uploads: () => readdirSync(join(folder, "uploads")).length,
    async stop() {
      kill();
      process.off("exit", kill);
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
