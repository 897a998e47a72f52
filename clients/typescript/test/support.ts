import { after } from "node:test";
import { JobsClient, type JobTypes } from "../src/index.js";

/** A real server, named by the environment as for the command line; an EndToEnd test of the repository starts one and runs these. */
const url = process.env["SLIPWAY_URL"]?.replace(/\/+$/, "");
export const noServer = url ? false : "no server: set SLIPWAY_URL, SLIPWAY_TOKEN and SLIPWAY_ORG";

export async function api(method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(`${url}/v1/orgs/${process.env["SLIPWAY_ORG"]}${path}`, {
    method,
    headers: { authorization: `Bearer ${process.env["SLIPWAY_TOKEN"]}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${method} ${path}: ${response.status} ${text}`);
  }
  return text ? JSON.parse(text) : undefined;
}

let made = 0;

/** A queue of its own for a test, gone at the end. */
export async function queueFor<T extends JobTypes>(settings: object = {}): Promise<{ queue: string; jobs: JobsClient<T>; stats: () => Promise<any> }> {
  const queue = `ts-${process.pid}-${++made}`;
  await api("POST", "/queues", { name: queue, settings: { maxBytes: 8 << 20, ...settings } });
  after(() => api("DELETE", `/queues/${queue}?force=true`));
  return { queue, jobs: new JobsClient<T>(), stats: () => api("GET", `/queues/${queue}/stats`) };
}

export class Signal {
  resolve = () => {};
  readonly given = new Promise<void>((resolve) => (this.resolve = resolve));
}

/** Jobs that can only go on when the test says so, or when they are told to stop. */
export function until(given: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    void given.then(resolve);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
