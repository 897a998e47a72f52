import { JobsError } from "./errors.js";
import type { ClientOptions } from "./types.js";

const firstPauseMs = 200;
const longestPauseMs = 10_000;
/** A server may ask for minutes; no call hangs for longer than this. */
const longestAskedMs = 60_000;
const callMs = 60_000;
/** What a held answer may take beyond the time it is held for. */
const heldGraceMs = 30_000;

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** How long the server may hold the answer. */
  heldMs?: number;
  /** Default: that of the client. */
  maxTries?: number;
}

/** Calls with retries: every POST carries an Idempotency-Key, so that one whose answer was lost can be sent again. */
export class Http {
  readonly #root: string;
  readonly #token: string | undefined;
  readonly #maxTries: number;

  constructor(options: ClientOptions) {
    const org = options.org ?? process.env["SLIPWAY_ORG"];
    if (!org) {
      throw new TypeError("Which org? Give { org } or set SLIPWAY_ORG.");
    }
    const url = options.url ?? process.env["SLIPWAY_URL"] ?? "http://127.0.0.1:7474";
    this.#root = `${url.replace(/\/+$/, "")}/v1/orgs/${encodeURIComponent(org)}/queues/`;
    this.#token = options.token ?? process.env["SLIPWAY_TOKEN"];
    this.#maxTries = options.maxTries ?? 5;
  }

  async send<T>(method: string, queue: string, path: string, body: unknown, options: CallOptions = {}): Promise<T> {
    const headers: Record<string, string> = { accept: "application/json", "user-agent": "slipway-jobs-node/0.1.0" };
    if (this.#token) {
      headers["authorization"] = `Bearer ${this.#token}`;
    }
    if (method === "POST") {
      headers["idempotency-key"] = crypto.randomUUID();
    }
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    const url = `${this.#root}${encodeURIComponent(queue)}${path}`;
    const text = body === undefined ? null : JSON.stringify(body);
    for (let attempt = 1; ; attempt++) {
      const timeout = AbortSignal.timeout(options.heldMs === undefined ? callMs : options.heldMs + heldGraceMs);
      const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
      try {
        return await once<T>(url, { method, headers, body: text, signal, redirect: "error" });
      } catch (error) {
        options.signal?.throwIfAborted();
        const failure = error instanceof JobsError ? error : new JobsError(`no answer from ${url}: ${reasonOf(error)}`, 0, "unreachable", undefined, { cause: error });
        if (!failure.passing || attempt >= (options.maxTries ?? this.#maxTries)) {
          throw failure;
        }
        await pause(pauseMs(attempt, failure.retryAfterMs), options.signal);
      }
    }
  }
}

async function once<T>(url: string, init: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (response.ok) {
    return (text.length === 0 ? undefined : JSON.parse(text)) as T;
  }
  let problem: { code?: string; detail?: string; title?: string } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    // A proxy in between answered: the status is all there is.
  }
  const asked = Number(response.headers.get("retry-after") ?? NaN);
  throw new JobsError(
    problem.detail ?? problem.title ?? `${response.status} ${response.statusText}`,
    response.status,
    problem.code ?? `http_${response.status}`,
    Number.isFinite(asked) ? asked * 1000 : undefined,
  );
}

/** What the server asked for plus up to a quarter, else 200 ms doubling to 10 s, of which a random half to whole. */
export function pauseMs(attempt: number, askedMs?: number): number {
  if (askedMs !== undefined) {
    return Math.min(askedMs, longestAskedMs) * (1 + Math.random() / 4);
  }
  return Math.min(firstPauseMs * 2 ** Math.min(attempt - 1, 16), longestPauseMs) * (0.5 + Math.random() / 2);
}

/** Ends early, without an error, when the signal is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof Error) {
    return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
  }
  return String(error);
}
