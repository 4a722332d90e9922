import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A POST that came by. */
export interface Post {
  key: string | undefined;
  type: string | undefined;
  body: string;
  status: number;
  replay: string | undefined;
  lost: boolean;
}

/** Serves the page, passes all else on to a server, and swallows answers when told to. */
export interface LossyProxy {
  url: string;
  /** Every POST that the server has answered, in that order. */
  posts: Post[];
  /**
   * Cuts the connection instead of passing on the answers to the next POSTs. The server has
   * finished with them by then: they are committed.
   */
  loseAnswers(count: number): void;
  /** Lets answers to POSTs wait until the returned function is called. */
  holdAnswers(): () => void;
  /**
   * Whether a connection serves several requests. If one breaks that has served an earlier
   * request, Chromium repeats the request by itself. Default: no.
   */
  keepAlive: boolean;
  stop(): Promise<void>;
}

const PAGES: Record<string, [type: string, file: string]> = {
  "/form.html": ["text/html", "form.html"],
  "/built-client.js": ["text/javascript", "../dist/index.js"],
};

export async function startLossyProxy(target: string): Promise<LossyProxy> {
  let toLose = 0;
  let held: Promise<void> | undefined;
  const posts: Post[] = [];

  const server = createServer(async (incoming, outgoing) => {
    if (!proxy.keepAlive) outgoing.setHeader("connection", "close");
    const path = new URL(incoming.url!, target).pathname;
    const page = PAGES[path];
    if (page) {
      outgoing.setHeader("content-type", page[0]);
      outgoing.end(readFileSync(new URL(page[1], import.meta.url)));
    } else if (path === "/away.html") {
      outgoing.setHeader("content-type", "text/html");
      outgoing.end("<title>Away</title>");
    } else {
      await passOn(incoming, outgoing).catch(() => outgoing.destroy());
    }
  });

  async function passOn(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const sent = await readAll(incoming);
    const { answer, body } = await ask(target, incoming, sent);
    if (incoming.method === "POST") {
      const lost = toLose > 0;
      if (lost) toLose--;
      posts.push({
        key: incoming.headers["idempotency-key"] as string | undefined,
        type: incoming.headers["content-type"],
        body: sent.toString(),
        status: answer.statusCode!,
        replay: answer.headers["x-idempotency-replay"] as string | undefined,
        lost,
      });
      await held;
      if (lost) return void incoming.socket.destroy();
    }
    const { connection: _, "keep-alive": __, ...headers } = answer.headers;
    outgoing.writeHead(answer.statusCode!, headers).end(body);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: LossyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    posts,
    keepAlive: false,
    loseAnswers: (count) => void (toLose = count),
    holdAnswers() {
      let release!: () => void;
      held = new Promise((resolve) => (release = resolve));
      return release;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

/** Asks the server, and waits for the whole of its answer. */
function ask(target: string, incoming: IncomingMessage, body: Buffer): Promise<{ answer: IncomingMessage; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const { method, headers } = incoming;
    const asked = request(new URL(incoming.url!, target), { method: method!, headers, agent: false });
    asked.once("error", reject);
    asked.once("response", async (answer) => resolve({ answer, body: await readAll(answer) }));
    asked.end(body);
  });
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
