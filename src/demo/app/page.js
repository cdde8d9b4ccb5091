"use strict";
const byId = (id) => document.getElementById(id);

let source = null;
byId("events").addEventListener("click", () => {
  const out = byId("events-out");
  if (source) {
    source.close();
    source = null;
    byId("events").textContent = "Start";
    out.textContent += "\nStopped.";
    return;
  }
  const lines = [];
  out.textContent = "Listening…";
  source = new EventSource("/events");
  byId("events").textContent = "Stop";
  source.onmessage = (event) => {
    lines.push(`${new Date().toLocaleTimeString()}  ${event.data}`);
    out.textContent = lines.slice(-4).join("\n");
  };
  source.onerror = () => {
    out.textContent = "The stream ended. Signed out?";
    source.close();
    source = null;
    byId("events").textContent = "Start";
  };
});

let socket = null;
byId("socket").addEventListener("submit", (event) => {
  event.preventDefault();
  const out = byId("socket-out");
  const words = byId("say").value;
  if (socket && socket.readyState === WebSocket.OPEN) {
    socket.send(words);
    return;
  }
  out.textContent = "Connecting…";
  let opened = false;
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  socket.onopen = () => { opened = true; socket.send(words); };
  socket.onmessage = (message) => { out.textContent = `The app says: ${message.data}`; };
  socket.onclose = () => { out.textContent = opened ? "The connection ended." : "No connection. Signed out?"; };
});

byId("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const out = byId("upload-out");
  out.textContent = "Uploading…";
  try {
    const response = await fetch("/upload", { method: "POST", body: byId("file").files[0] });
    const answer = await response.json();
    out.textContent = response.ok ? `${answer.bytes} bytes arrived\nSHA-256 ${answer.sha256}`
      : `${response.status}\n${JSON.stringify(answer, null, 1)}`;
  } catch (error) {
    out.textContent = `It did not arrive: ${error.message}`;
  }
});

byId("call").addEventListener("click", async () => {
  const out = byId("call-out");
  try {
    const response = await fetch("/headers.json", { headers: { accept: "application/json" } });
    const answer = await response.json();
    out.textContent = response.ok ? `${response.status}: the app answered with ${answer.headers.length} headers`
      : `${response.status}\n${JSON.stringify(answer, null, 1)}`;
  } catch (error) {
    out.textContent = `No answer: ${error.message}`;
  }
});
