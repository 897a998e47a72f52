/** What goes over the wire: docs/protocols/jobs-http.md. */
export interface LeasedJob {
  id: string;
  type: string;
  payload?: unknown;
  payloadBytes?: string;
  priority: number;
  attempt: number;
  enqueuedAt: string;
  timeoutMs: number;
  tracked: boolean;
  cancelRequested: boolean;
  traceParent?: string;
  damage?: string;
}

export interface LeasedBlock {
  id: string;
  queue: string;
  token: number;
  jobs: LeasedJob[];
}

export interface LeasedBlocks {
  blocks: LeasedBlock[];
  cancelled: string[];
}

export interface EndedJob {
  index: number;
  kind: "completed" | "failed" | "retry" | "dead" | "released" | "cancelled";
  retryAfterMs?: number;
  reason?: string;
  error?: string;
  result?: unknown;
}

export interface AckedBlock {
  id: string;
  done?: number[];
  ended?: EndedJob[];
}

export interface BlockStates {
  blocks: { id: string; state: "acked" | "extended" | "late" }[];
  cancelled: string[];
}
