// Clients as users write them: what is connected stays at the module, for the calls that the same instance answers later.
import fs from "node:fs";
import net from "node:net";
import { Redis } from "ioredis";
import pg from "pg";
import { Agent, request } from "undici";
import { WebSocket } from "ws";

const LARGE = 8 << 20;
const ca = fs.readFileSync(new URL("ca.pem", import.meta.url));
const agent = new Agent({ connect: { ca }, keepAliveTimeout: 120_000 });
const kept = new Map();

// What there is once in an instance.
function once(name, make) {
  if (!kept.has(name)) kept.set(name, make());
  return kept.get(name);
}

function web(call) {
  return {
    small: async (at) => (await call(`${at.https}/small`)).text,
    large: async (at) => {
      const taken = await call(`${at.https}/up`, { method: "POST", body: Buffer.alloc(LARGE) });
      return [Number(taken.text), (await call(`${at.https}/large`)).text.length];
    },
    kept: async (at) => (await call(`${at.https}/small`)).connection,
    to: async (at) => (await call(at.url)).text,
  };
}

async function byFetch(url, more = {}) {
  // Trusts the servers' authority by NODE_EXTRA_CA_CERTS.
  const reply = await fetch(url, more);
  return { text: await reply.text(), connection: reply.headers.get("x-connection") };
}

async function byUndici(url, more = {}) {
  const reply = await request(url, { dispatcher: agent, ...more });
  return { text: await reply.body.text(), connection: reply.headers["x-connection"] };
}

const pool = (host, port) => {
  const where = { host, port, user: "app", password: "open-sesame", database: "postgres", max: 2 };
  return new pg.Pool({ ...where, ssl: { ca }, connectionTimeoutMillis: 20000, idleTimeoutMillis: 0 });
};
const query = async (at, text, ...values) => {
  const { rows } = await once("pg", () => pool(at.host, at.postgres)).query({ text, values, rowMode: "array" });
  return rows[0];
};
const redis = (host, port) => new Redis({ host, port, maxRetriesPerRequest: 0, retryStrategy: null, lazyConnect: true });
const cached = (at) => once("redis", () => redis(at.host, at.redis));

function socketTo(host, port) {
  const socket = new WebSocket(`ws://${host}:${port}/`, { handshakeTimeout: 20000 });
  return new Promise((done, fail) => socket.once("open", () => done(socket)).once("error", fail));
}
const said = async (at, message) => {
  const socket = await once("ws", () => socketTo(at.host, at.websocket));
  const answer = new Promise((done) => socket.once("message", done));
  socket.send(message);
  return answer;
};

// Sends so many bytes, and takes so many: those and a greeting of eight.
const echo = (host, port, size) =>
  new Promise((done, fail) => {
    let got = 0;
    const socket = net.connect(port, host, () => socket.write(Buffer.alloc(size)));
    socket.on("error", fail).on("data", (data) => {
      got += data.length;
      if (got === size + 8) socket.end(() => done(size));
    });
  });

const CLIENTS = {
  fetch: web(byFetch),
  undici: web(byUndici),
  pg: {
    small: (at) => query(at, "select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()"),
    large: async (at) => [
      (await query(at, "select length($1::bytea)", Buffer.alloc(LARGE)))[0],
      (await query(at, "select repeat('x', $1::int)", LARGE))[0].length,
    ],
    kept: async (at) => (await query(at, "select pg_backend_pid()"))[0],
    to: (at) => pool(at.host, at.port).query("select 1"),
  },
  ioredis: {
    small: async (at) => (await cached(at).set("n", "m")) && cached(at).get("n"),
    large: async (at) => (await cached(at).set("l", Buffer.alloc(LARGE))) && (await cached(at).getBuffer("l")).length,
    kept: (at) => cached(at).client("ID"),
    to: async (at) => {
      const client = redis(at.host, at.port);
      let cause;
      client.on("error", (error) => (cause = error));
      return client.connect().catch((error) => Promise.reject(cause ?? error));
    },
  },
  ws: {
    small: async (at) => String(await said(at, "hello")),
    large: async (at) => (await said(at, Buffer.alloc(LARGE))).length,
    kept: async (at) => String(await said(at, "who")),
    to: (at) => socketTo(at.host, at.port),
  },
  net: {
    small: (at) => echo(at.host, at.echo, 1),
    large: (at) => echo(at.host, at.echo, LARGE),
    to: (at) => echo(at.host, at.port, 1),
  },
};

export async function handler({ client, do: what, at }) {
  try {
    return { ok: (await CLIENTS[client][what](at)) ?? null };
  } catch (error) {
    const cause = error.cause ?? error.errors?.[0] ?? error;
    return { error: [error.constructor.name, cause.code], text: `${error.message}: ${cause.message}` };
  }
}
