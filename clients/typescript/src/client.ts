import { Http } from "./http.js";
import type { ClientOptions, EnqueuedJob, EnqueueOptions, Handlers, JobTypes, NewJob, WorkOptions, WorkSummary } from "./types.js";
import { Worker } from "./worker.js";

/** What the server adds in one step. */
const blockJobs = 1000;

/** Queues of an org. `JobsClient<{ "mail.send": { to: string } }>` checks payloads and handlers. */
export class JobsClient<T extends JobTypes = JobTypes> {
  readonly #http: Http;

  constructor(options: ClientOptions = {}) {
    this.#http = new Http(options);
  }

  /** Adds a job. When it returns, the job is on disk (unless the server was set otherwise). */
  enqueue<K extends keyof T & string>(queue: string, type: K, payload: T[K], options: EnqueueOptions = {}): Promise<EnqueuedJob> {
    return this.#http.send("POST", queue, "/jobs", { type, payload, ...options });
  }

  /** Adds jobs in order, in blocks of 1,000; a block is added whole or not at all. */
  async enqueueMany(queue: string, jobs: Iterable<NewJob<T>>): Promise<EnqueuedJob[]> {
    const answers: EnqueuedJob[] = [];
    let block: NewJob<T>[] = [];
    const send = async () => {
      if (block.length > 0) {
        const answer = await this.#http.send<{ jobs: EnqueuedJob[] }>("POST", queue, "/jobs/bulk", { jobs: block });
        answers.push(...answer.jobs);
        block = [];
      }
    };
    for (const job of jobs) {
      block.push(job);
      if (block.length === blockJobs) {
        await send();
      }
    }
    await send();
    return answers;
  }

  /**
   * Runs jobs until `options.signal` is aborted. A server that can't be reached is tried again for ever; one that refuses for good (no
   * right, no such queue) makes it throw, after what runs has ended. Jobs run at least once: a handler must bear being run twice.
   */
  work(queue: string, handlers: Handlers<T>, options: WorkOptions = {}): Promise<WorkSummary> {
    return new Worker(this.#http, queue, handlers as Handlers<JobTypes>, options).run();
  }
}
