// An app that echoes over WebSocket, and by request closes or pings.

import { once } from "node:events";
import { createServer } from "node:http";

import { WebSocketServer } from "ws";

/** What it takes: messages of any size that the tests have, in as many fragments as they like. */
export const limits = { maxPayload: 32 << 20, maxFragments: 0, maxBufferedChunks: 0 };

/** Starts it. `count` is how many clients came. */
export async function startEcho() {
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<title>Echo</title>"));
  const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 }, ...limits });
  let count = 0;
  sockets.on("connection", (socket) => {
    count += 1;
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => {
      const wish = data.length < 20 ? `${data}` : "";
      if (wish.startsWith("close ")) socket.close(Number(wish.slice(6)), "as you wish");
      else if (wish === "ping me") socket.ping("from the app");
      else socket.send(data, { binary: isBinary });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    get count() {
      return count;
    },
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
