// A door on loopback for who cannot bring a cookie, or HTTP/2: a WebSocket handshake of HTTP/1.1 that comes in is said
// to the gateway in another way, and from then on bytes go through as they are.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect as connectH2, constants } from "node:http2";
import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";

/** What RFC 6455 (1.3) appends to the key of a handshake. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Opens it: `reach(socket, head)` sends the handshake on, and gives the stream that `socket` speaks with then. */
async function open(reach, close = () => {}) {
  const sockets = new Set();
  const letIn = async (socket) => {
    const [head] = await once(socket, "data");
    socket.pause();
    // Whoever opens a WebSocket says nothing more before the answer.
    assert.ok(head.indexOf("\r\n\r\n") === head.length - 4, `${head}`);
    const stream = await reach(socket, `${head}`);
    if (stream) pipeline(socket, stream, socket, () => {});
    else socket.end();
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket.once("close", () => sockets.delete(socket)));
    socket.on("error", () => {});
    letIn(socket).catch(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
      close();
    },
  };
}

/** To `url`, with more fields in the handshake. */
export function openDoor(url, fields = {}) {
  const { hostname, port, host } = new URL(url);
  return open((_, head) => {
    const more = Object.entries({ host, ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
    const stream = connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
    stream.write(`${head.replace(/^host:.*\r\n/im, "").slice(0, -2)}${more.join("")}\r\n`);
    return stream;
  });
}

/** To `url` over one connection of HTTP/2, by extended CONNECT (RFC 8441), which is what browsers do. */
export async function openH2Door(url, fields = {}) {
  const session = connectH2(url, { rejectUnauthorized: false });
  const [settings] = await once(session, "remoteSettings");
  assert.equal(settings.enableConnectProtocol, true);
  const reach = async (socket, head) => {
    const [, path] = head.split(" ");
    const field = (name) => head.match(new RegExp(`^${name}: (.*)\r\n`, "im"))?.[1];
    const extensions = field("sec-websocket-extensions");
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "https",
      ":path": path,
      ":authority": new URL(url).host,
      "sec-websocket-version": "13",
      ...(extensions && { "sec-websocket-extensions": extensions }),
      ...fields,
    });
    stream.on("error", () => {});
    const [answer] = await once(stream, "response");
    if (answer[":status"] !== 200) {
      socket.write(`HTTP/1.1 ${answer[":status"]} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      stream.close(constants.NGHTTP2_CANCEL);
      return undefined;
    }
    const accept = createHash("sha1").update(`${field("sec-websocket-key")}${GUID}`).digest("base64");
    const agreed = answer["sec-websocket-extensions"];
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\n${agreed ? `Sec-WebSocket-Extensions: ${agreed}\r\n` : ""}\r\n`,
    );
    return stream;
  };
  return open(reach, () => session.destroy());
}
