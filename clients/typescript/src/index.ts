export { JobsClient } from "./client.js";
export { DeadLetter, JobsError, RetryLater } from "./errors.js";
export type { ClientOptions, EnqueuedJob, EnqueueOptions, Handlers, Job, JobTypes, NewJob, WorkOptions, WorkSummary } from "./types.js";
