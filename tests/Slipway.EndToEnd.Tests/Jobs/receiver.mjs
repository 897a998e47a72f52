// A receiver of signed jobs that shares no code with the sender: checks the signature with Node's crypto, answers as the payload asks.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.argv[2].slice("whsec_".length), "base64");
const seen = [];
const server = createServer(async (request, response) => {
  if (request.url === "/seen") {
    response.end(JSON.stringify(seen));
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures = "" } = request.headers;
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  const signed = signatures.split(" ").some((one) => {
    const given = Buffer.from(one.replace(/^v1,/, ""), "base64");
    return one.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
  const { status, headers = {}, answer = "", bytes = 0 } = JSON.parse(body);
  seen.push({ id, path: request.url, status, signed, fresh: Math.abs(Date.now() / 1000 - Number(timestamp)) < 60, type: request.headers["content-type"], attempt: request.headers["slipway-job-attempt"] });
  response.writeHead(signed ? status : 401, headers).end(bytes ? "x".repeat(bytes) : answer);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
