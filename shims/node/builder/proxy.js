// @ts-check
// The way out for installers: an HTTP proxy on this sandbox's own loopback. The server decides where it leads.
"use strict";

const { createServer } = require("node:net");
const { Refused } = require("./link.js");

const HEAD_MAX = 64 << 10;
// Headers between client and proxy only. A connection carries one request: the next may be for another host.
const HOP_HEADERS = ["connection", "proxy-connection", "proxy-authorization", "keep-alive"];

/**
 * Takes CONNECT, and requests with an absolute URL.
 * @param {import("./link.js").Link} link
 * @returns {Promise<number>} the port
 */
function startProxy(link) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    serve(link, socket).catch((error) => {
      const status = error instanceof Refused ? "403 Forbidden" : "400 Bad Request";
      const body = String(error.message);
      const head = `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
      socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = /** @type {import("node:net").AddressInfo} */ (server.address());
      resolve(address.port);
    });
  });
}

/**
 * @param {import("./link.js").Link} link
 * @param {import("node:net").Socket} socket
 */
async function serve(link, socket) {
  const { head, rest } = await readHead(socket);
  const [first, ...lines] = head.split("\r\n");
  const [method, target] = first.split(" ");
  if (method === "CONNECT") {
    const url = new URL(`http://${target}`);
    const tunnel = await link.open(url.hostname.replace(/^\[|\]$/g, ""), Number(target.split(":").pop()));
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    carry(socket, tunnel, rest);
    return;
  }
  const url = new URL(target);
  if (url.protocol !== "http:") throw new Error("only http:// URLs are requested of a proxy");
  const tunnel = await link.open(url.hostname.replace(/^\[|\]$/g, ""), Number(url.port || 80));
  const kept = lines.filter((line) => !HOP_HEADERS.includes(line.split(":")[0].toLowerCase()));
  const request = [`${method} ${url.pathname}${url.search} HTTP/1.1`, ...kept, "Connection: close", "", ""];
  carry(socket, tunnel, Buffer.concat([Buffer.from(request.join("\r\n"), "latin1"), rest]));
}

/**
 * @param {import("node:net").Socket} socket
 * @returns {Promise<{ head: string, rest: Buffer }>} the head without its end, and what came behind it
 */
function readHead(socket) {
  let bytes = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const take = (/** @type {Buffer} */ data) => {
      bytes = Buffer.concat([bytes, data]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0 && bytes.length <= HEAD_MAX) return;
      socket.off("data", take);
      socket.pause();
      if (end < 0) reject(new Error("the head of a request is too long"));
      else resolve({ head: bytes.toString("latin1", 0, end), rest: bytes.subarray(end + 4) });
    };
    socket.on("data", take);
  });
}

/**
 * Both ways, until either end is done.
 * @param {import("node:net").Socket} socket
 * @param {import("./link.js").Tunnel} tunnel
 * @param {Buffer} early bytes for the outside
 */
function carry(socket, tunnel, early) {
  tunnel.onData = (data) => socket.write(data, () => tunnel.taken(data.length));
  tunnel.onClose = () => socket.end();
  const up = (/** @type {Buffer} */ data) => {
    socket.pause();
    tunnel.send(data).then(() => socket.resume());
  };
  socket.on("data", up);
  socket.on("close", () => tunnel.close());
  up(early);
}

module.exports = { startProxy };
