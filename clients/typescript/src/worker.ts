import { DeadLetter, JobsError, RetryLater } from "./errors.js";
import { type Http, pause, pauseMs } from "./http.js";
import type { Handlers, Job, JobTypes, WorkOptions, WorkSummary } from "./types.js";
import type { AckedBlock, BlockStates, EndedJob, LeasedBlock, LeasedBlocks, LeasedJob } from "./wire.js";

/** Below what proxies cut. */
const waitMs = 20_000;
const reportMs = 10_000;
/** How soon a running job learns that it was cancelled. */
const cancelWithinMs = 1_000;
/** What the server takes in one call. */
const mostBlocks = 100;
const mostReason = 100;
const mostError = 2000;

/** Why a job's signal was aborted. */
type Stop = "lost" | "cancelled" | "timeout" | "released";

/** A block that this worker holds. */
class HeldBlock {
  readonly untold = new Set<number>();
  readonly #ends: EndedJob[] = [];
  readonly stops = new Map<string, (why: Stop) => void>();
  lost = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly leased: LeasedBlock, leftMs: number) {
    leased.jobs.forEach((_, index) => this.untold.add(index));
    this.extended(leftMs);
  }

  /** The lease ends so many milliseconds from now, counted from before it was asked for: never later than the server thinks. */
  extended(leftMs: number): void {
    clearTimeout(this.#timer);
    if (!this.lost) {
      this.#timer = setTimeout(() => this.lose(), Math.max(0, leftMs));
    }
  }

  lose(): void {
    clearTimeout(this.#timer);
    this.lost = true;
    for (const stop of this.stops.values()) {
      stop("lost");
    }
  }

  ended(end: EndedJob): void {
    this.#ends.push(end);
  }

  /** What the server is to be told now. */
  take(): AckedBlock | undefined {
    const ends = this.#ends.splice(0);
    if (ends.length === 0) {
      return undefined;
    }
    ends.forEach((end) => this.untold.delete(end.index));
    const plain = (end: EndedJob) => end.kind === "completed" && end.result === undefined;
    return { id: this.leased.id, done: ends.filter(plain).map((end) => end.index), ended: ends.filter((end) => !plain(end)) };
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }
}

/** Leases jobs, runs them, tells how they ended, and keeps the leases meanwhile. */
export class Worker {
  readonly #held = new Map<string, HeldBlock>();
  readonly #running = new Set<Promise<void>>();
  readonly #concurrency: number;
  readonly #leaseMs: number;
  readonly #name: string;
  readonly #summary: WorkSummary = { completed: 0, failed: 0, lost: 0 };
  readonly #finished = new AbortController();
  #telling: Promise<void> | undefined;
  /** Resolved at the next end of a job, or at the stop. One for each wait: a race against a promise that lives on would pile up. */
  #change = deferred();

  constructor(
    readonly http: Http,
    readonly queue: string,
    readonly handlers: Handlers<JobTypes>,
    readonly options: WorkOptions,
  ) {
    this.#concurrency = options.concurrency ?? 10;
    this.#leaseMs = options.leaseMs ?? 30_000;
    this.#name = options.name ?? `node-${process.pid}-${Math.floor(Math.random() * 0x10000).toString(16)}`;
    if (!Number.isInteger(this.#concurrency) || this.#concurrency < 1 || this.#concurrency > 1000) {
      throw new RangeError("concurrency is 1 to 1000");
    }
  }

  async run(): Promise<WorkSummary> {
    const keeping = this.#keep();
    const stop = this.options.signal;
    let giveUp: ReturnType<typeof setTimeout> | undefined;
    const onStop = () => {
      this.#changed();
      if (this.options.drainMs !== undefined) {
        giveUp = setTimeout(() => this.#stopAll("released"), this.options.drainMs);
      }
    };
    stop?.addEventListener("abort", onStop, { once: true });
    try {
      await this.#lease(stop);
    } finally {
      while (this.#running.size > 0) {
        await this.#change.promise;
      }
      while (this.#telling) {
        await this.#telling;
      }
      clearTimeout(giveUp);
      stop?.removeEventListener("abort", onStop);
      this.#finished.abort();
      await keeping;
    }
    return this.#summary;
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = deferred();
  }

  async #lease(stop: AbortSignal | undefined): Promise<void> {
    let attempt = 0;
    while (!stop?.aborted) {
      const free = this.#concurrency - this.#running.size;
      if (free === 0) {
        await this.#change.promise;
        continue;
      }
      const idle = this.#running.size === 0;
      // Taken before the call: an end while it is under way counts.
      const change = this.#change.promise;
      const heldMs = this.options.untilEmpty ? 0 : waitMs;
      try {
        const asked = performance.now();
        const answer = await this.http.send<LeasedBlocks>("POST", this.queue, "/lease", { max: free, leaseMs: this.#leaseMs, waitMs: heldMs, worker: this.#name }, { signal: stop, heldMs });
        attempt = 0;
        for (const block of answer.blocks) {
          this.#start(block, this.#leaseMs - (performance.now() - asked), answer.cancelled);
        }
        if (this.options.untilEmpty && answer.blocks.length === 0) {
          if (idle) {
            return;
          }
          // What runs may enqueue more: its end is the time to look again.
          await change;
        }
      } catch (error) {
        if (stop?.aborted) {
          return;
        }
        this.options.onError?.(error);
        if (!(error instanceof JobsError) || !error.passing) {
          throw error;
        }
        await pause(pauseMs(++attempt, error.retryAfterMs), stop);
      }
    }
  }

  #start(leased: LeasedBlock, leftMs: number, cancelled: readonly string[]): void {
    const block = new HeldBlock(leased, leftMs);
    this.#held.set(leased.id, block);
    leased.jobs.forEach((job, index) => {
      const running = this.#run(block, job, index, job.cancelRequested || cancelled.includes(job.id)).finally(() => {
        this.#running.delete(running);
        this.#changed();
      });
      this.#running.add(running);
    });
  }

  async #run(block: HeldBlock, leased: LeasedJob, index: number, isCancelled: boolean): Promise<void> {
    const abort = new AbortController();
    let why: Stop | undefined;
    const stop = (reason: Stop) => {
      why ??= reason;
      abort.abort(new DOMException(`the job was stopped: ${reason}`, "AbortError"));
    };
    block.stops.set(leased.id, stop);
    const timer = leased.timeoutMs > 0 ? setTimeout(() => stop("timeout"), leased.timeoutMs) : undefined;
    const job = this.#jobOf(block.leased, leased, abort.signal);
    const end: EndedJob = { index, kind: "completed" };
    try {
      if (isCancelled) {
        end.kind = "cancelled";
      } else if (leased.damage !== undefined) {
        throw new DeadLetter("damaged", leased.damage);
      } else {
        const handler = Object.hasOwn(this.handlers, leased.type) ? this.handlers[leased.type] : undefined;
        if (!handler) {
          // Another worker may know it: the queue's policy decides how often to try.
          throw new Error(`no handler for jobs of type ${leased.type}`);
        }
        const result = await handler(job);
        if (leased.tracked && result !== undefined) {
          end.result = result;
        }
        // It ended well before it saw the signal: that counts, unless the lease is gone.
      }
    } catch (error) {
      this.#judge(end, error, why, leased.timeoutMs);
      if (why !== "lost" && end.kind !== "released" && end.kind !== "cancelled") {
        this.options.onError?.(error, job);
      }
    } finally {
      clearTimeout(timer);
      block.stops.delete(leased.id);
    }
    if (block.lost) {
      this.#summary.lost++;
      this.#held.delete(block.leased.id);
      return;
    }
    if (end.kind === "completed") {
      this.#summary.completed++;
    } else if (end.kind !== "released" && end.kind !== "cancelled") {
      this.#summary.failed++;
    }
    block.ended(end);
    this.#telling ??= this.#tell().finally(() => (this.#telling = undefined));
  }

  #judge(end: EndedJob, error: unknown, why: Stop | undefined, timeoutMs: number): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    end.error = text.slice(0, mostError);
    end.reason = (error instanceof Error ? error.name : "Error").slice(0, mostReason);
    end.kind = "failed";
    if (why === "cancelled" || why === "released") {
      end.kind = why;
    } else if (why === "timeout") {
      end.reason = "timeout";
      end.error = `stopped after ${timeoutMs} ms, the time a run may take`;
    } else if (error instanceof RetryLater) {
      end.kind = "retry";
      end.retryAfterMs = Math.max(0, Math.round(error.afterMs));
    } else if (error instanceof DeadLetter) {
      end.kind = "dead";
      end.reason = error.reason.slice(0, mostReason);
    }
  }

  /** While one call is under way the next ends gather. */
  async #tell(): Promise<void> {
    // The ends of one turn of the loop go together.
    await Promise.resolve();
    for (;;) {
      const acks: { block: HeldBlock; ack: AckedBlock }[] = [];
      for (const block of this.#held.values()) {
        const ack = acks.length < mostBlocks ? block.take() : undefined;
        if (ack) {
          acks.push({ block, ack });
        }
      }
      if (acks.length === 0) {
        return;
      }
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await this.http.send<BlockStates>("POST", this.queue, "/ack", { blocks: acks.map((one) => one.ack) });
          this.#loseLate(answer);
          break;
        } catch (error) {
          this.options.onError?.(error);
          if (!(error instanceof JobsError) || !error.passing || acks.every((one) => one.block.lost)) {
            break;
          }
          await pause(pauseMs(attempt, error.retryAfterMs));
        }
      }
      for (const { block } of acks.filter((one) => one.block.untold.size === 0)) {
        block.dispose();
        this.#held.delete(block.leased.id);
      }
    }
  }

  /** Extends leases at a third of their length, so that two tries may fail; and says that this worker lives. */
  async #keep(): Promise<void> {
    let extended = performance.now();
    let reported = -reportMs;
    while (!this.#finished.signal.aborted) {
      const now = performance.now();
      if (now - reported >= reportMs) {
        reported = now;
        await this.#try(() => this.http.send("PUT", this.queue, `/workers/${this.#name}`, { about: `node ${process.version} pid ${process.pid}, ${this.#concurrency} at once, ${this.#summary.completed} completed, ${this.#summary.failed} failed` }, { signal: this.#finished.signal, maxTries: 1 }));
      }
      const tracked = [...this.#held.values()].some((block) => block.leased.jobs.some((job) => job.tracked));
      const beat = Math.min(this.#leaseMs / 3, tracked ? cancelWithinMs : Infinity);
      await pause(Math.min(beat, cancelWithinMs), this.#finished.signal);
      if (performance.now() - extended < beat || this.#held.size === 0 || this.#finished.signal.aborted) {
        continue;
      }
      extended = performance.now();
      const ids = [...this.#held.keys()];
      for (let at = 0; at < ids.length; at += mostBlocks) {
        await this.#try(() => this.#extend(ids.slice(at, at + mostBlocks)));
      }
    }
  }

  async #extend(blocks: string[]): Promise<void> {
    const asked = performance.now();
    const answer = await this.http.send<BlockStates>("POST", this.queue, "/extend", { blocks, leaseMs: this.#leaseMs }, { signal: this.#finished.signal, maxTries: 1 });
    for (const one of answer.blocks) {
      if (one.state === "extended") {
        this.#held.get(one.id)?.extended(this.#leaseMs - (performance.now() - asked));
      }
    }
    this.#loseLate(answer);
    for (const block of this.#held.values()) {
      answer.cancelled.forEach((id) => block.stops.get(id)?.("cancelled"));
    }
  }

  #loseLate(answer: BlockStates): void {
    for (const one of answer.blocks) {
      if (one.state === "late") {
        this.#held.get(one.id)?.lose();
      }
    }
  }

  #stopAll(why: Stop): void {
    for (const block of this.#held.values()) {
      for (const stop of block.stops.values()) {
        stop(why);
      }
    }
  }

  /** What fails here is tried again at the next beat; leases that end meanwhile end by themselves. */
  async #try(call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
    } catch (error) {
      if (!this.#finished.signal.aborted) {
        this.options.onError?.(error);
      }
    }
  }

  #jobOf(block: LeasedBlock, leased: LeasedJob, signal: AbortSignal): Job<unknown> {
    return {
      id: leased.id,
      type: leased.type,
      payload: leased.payloadBytes === undefined ? leased.payload : new Uint8Array(Buffer.from(leased.payloadBytes, "base64")),
      queue: block.queue,
      priority: leased.priority,
      attempt: leased.attempt,
      enqueuedAt: new Date(leased.enqueuedAt),
      token: block.token,
      tracked: leased.tracked,
      traceParent: leased.traceParent,
      signal,
      progress: async (percent, note = "") => {
        if (leased.tracked) {
          await this.http.send("POST", this.queue, `/jobs/${leased.id}/progress`, { progress: percent, note });
        }
      },
    };
  }
}

/** Promise.withResolvers came with Node 22. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
