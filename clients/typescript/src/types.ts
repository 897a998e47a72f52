/** What is in each job type: `{ "mail.send": { to: string } }`. The key chooses the handler. */
export type JobTypes = { [type: string]: unknown };

export interface ClientOptions {
  /** The server's root, such as `https://slipway.example`. Default: SLIPWAY_URL, then `http://127.0.0.1:7474`. */
  url?: string;
  /** A key with `jobs:enqueue` or `jobs:work` for the queues. Default: SLIPWAY_TOKEN. */
  token?: string;
  /** Default: SLIPWAY_ORG. */
  org?: string;
  /** Tries of one call, the first included; 5 unless given. */
  maxTries?: number;
}

/** Times in milliseconds. */
export interface EnqueueOptions {
  /** A UUID; a new one unless given. */
  id?: string;
  /** 0 (first) to 7 (last); 3 unless given. */
  priority?: number;
  delayMs?: number;
  /** Not before this moment, by the server's clock. */
  at?: Date;
  /** While a job with this key waits or runs, no second one is added. */
  unique?: string;
  /** The key stays taken so long after the job completed. */
  uniqueForMs?: number;
  /** What it takes from a rate limit, 1–255. */
  cost?: number;
  maxAttempts?: number;
  timeoutMs?: number;
  /** Keeps state, progress and result under the id, and lets the job be cancelled. */
  track?: boolean;
  /** Tracked jobs that must complete first. */
  after?: readonly string[];
  /** W3C trace context. */
  traceParent?: string;
}

export type NewJob<T extends JobTypes> = { [K in keyof T & string]: { type: K; payload: T[K] } & EnqueueOptions }[keyof T & string];

export interface EnqueuedJob {
  /** The job's; where a unique key was taken, the id of the job that holds it. */
  id: string;
  outcome: "added" | "duplicate" | "batchClosed" | "dependencyFailed";
}

/** A job that is being run. */
export interface Job<Payload, Type extends string = string> {
  readonly id: string;
  readonly type: Type;
  /** JSON as it was enqueued; bytes that are not JSON are a Uint8Array. */
  readonly payload: Payload;
  readonly queue: string;
  readonly priority: number;
  /** 1 for the first run. */
  readonly attempt: number;
  readonly enqueuedAt: Date;
  /** Fencing token: later leases have higher ones. Store it beside what you write, and refuse lower ones. */
  readonly token: number;
  readonly tracked: boolean;
  readonly traceParent: string | undefined;
  /** Aborted when the job was cancelled, took too long, or its lease is lost (then another worker has it): stop. */
  readonly signal: AbortSignal;
  /** Tells how far a tracked job is: 0–100, and a note. */
  progress(percent: number, note?: string): Promise<void>;
}

/** What a handler returns is the result of a tracked job. Throw {@link RetryLater} or {@link DeadLetter} to say more than "failed". */
export type Handlers<T extends JobTypes> = {
  [K in keyof T & string]?: (job: Job<T[K], K>) => unknown;
};

export interface WorkOptions {
  /** Jobs at once; 10 unless given, at most 1,000. */
  concurrency?: number;
  /** How long the server waits for a sign of life; extended while jobs run. 30,000 unless given. */
  leaseMs?: number;
  /** Aborting it stops the worker: no more leases, running jobs end, then `work` returns. */
  signal?: AbortSignal;
  /** After the stop: abort and give back what has not ended by then. Forever unless given. */
  drainMs?: number;
  /** Shown among the queue's workers; 1–64 characters of A-Za-z0-9._:- */
  name?: string;
  /** Return when nothing is ready any more. */
  untilEmpty?: boolean;
  /** Told of each failure: of a job, or of a call to the server (then without a job). */
  onError?: (error: unknown, job?: Job<unknown>) => void;
}

export interface WorkSummary {
  completed: number;
  failed: number;
  /** Whose lease was lost: others did or do them again. */
  lost: number;
}
