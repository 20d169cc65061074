// The least a Node server can run.
import { createServer } from "node:http";

const body = '{"hello":"world"}';
const head = { "content-type": "application/json", "content-length": body.length };

createServer((request, response) => {
  response.writeHead(200, head);
  response.end(body);
}).listen(Number(process.argv[2]), "127.0.0.1");
