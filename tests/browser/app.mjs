// An app that knows nothing of the gateway: one page that shows what it received, and keeps a list of it.

import { once } from "node:events";
import { createServer } from "node:http";

export async function startApp() {
  const requests = [];
  const server = createServer((request, response) => {
    const { method, url, headers, rawHeaders } = request;
    requests.push({ method, url, headers, rawHeaders });
    response.setHeader("content-type", "text/html; charset=utf-8");
    const shown = JSON.stringify({ method, url, headers }).replace(/&/g, "&amp;").replace(/</g, "&lt;");
    response.end(
      `<!doctype html><html lang="en"><title>The app</title><link rel="icon" href="data:,">` +
        `<h1>The app</h1><pre id="received">${shown}</pre>`,
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
