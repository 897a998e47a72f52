/** The server answered, and the answer is a problem (RFC 9457). */
export class JobsError extends Error {
  override readonly name = "JobsError";

  constructor(
    message: string,
    /** The HTTP status; 0 when no answer came. */
    readonly status: number,
    /** What programs match on, such as `queue_full`. */
    readonly code: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The same call may work later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500 || this.code === "idempotency_in_progress";
  }
}

/** Thrown by a handler: run it again after so many milliseconds. */
export class RetryLater extends Error {
  override readonly name = "RetryLater";

  constructor(readonly afterMs: number, message = "asked to be run later") {
    super(message);
  }
}

/** Thrown by a handler: no further run will help. */
export class DeadLetter extends Error {
  override readonly name = "DeadLetter";

  /** @param reason Groups dead letters, such as `bad address`; at most 100 characters. */
  constructor(readonly reason: string, message: string = reason) {
    super(message);
  }
}
