import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { DeadLetter, JobsClient, JobsError, RetryLater } from "../src/index.js";
import { api, noServer, queueFor, Signal, until } from "./support.js";

type Types = { greet: { name: string }; count: { n: number }; slow: null };

test("A job reaches its handler with its payload, and the result is kept", { skip: noServer }, async () => {
  const { queue, jobs } = await queueFor<Types>();
  const { id, outcome } = await jobs.enqueue(queue, "greet", { name: "Ädå \"quoted\"" }, { track: true, priority: 1 });
  assert.equal(outcome, "added");
  const seen: unknown[] = [];
  const summary = await jobs.work(queue, { greet: (job) => (seen.push([job.id, job.attempt, job.priority, job.payload.name]), { hello: job.payload.name }) }, { untilEmpty: true });
  assert.deepEqual(seen, [[id, 1, 1, "Ädå \"quoted\""]]);
  assert.deepEqual(summary, { completed: 1, failed: 0, lost: 0 });
  const status = await api("GET", `/queues/${queue}/jobs/${id}`);
  assert.equal(status.state, "completed");
  assert.deepEqual(status.result, { hello: "Ädå \"quoted\"" });
});

test("Many jobs are each run once, by several at a time", { skip: noServer }, async () => {
  const { queue, jobs, stats } = await queueFor<Types>();
  const answers = await jobs.enqueueMany(queue, Array.from({ length: 2500 }, (_, n) => ({ type: "count" as const, payload: { n } })));
  assert.equal(new Set(answers.map((answer) => answer.id)).size, 2500);
  const runs = new Map<number, number>();
  let atOnce = 0;
  let most = 0;
  const summary = await jobs.work(queue, {
    count: async (job) => {
      most = Math.max(most, ++atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      runs.set(job.payload.n, (runs.get(job.payload.n) ?? 0) + 1);
      atOnce--;
    },
  }, { untilEmpty: true, concurrency: 200 });
  assert.equal(summary.completed, 2500);
  assert.ok(most > 1 && most <= 200, `${most} at once`);
  assert.deepEqual([...runs.values()].filter((times) => times !== 1), []);
  const after = await stats();
  assert.deepEqual([after.readyTotal, after.leased, after.totals.completed], [0, 0, 2500]);
});

test("A unique key adds the job once", { skip: noServer }, async () => {
  const { queue, jobs } = await queueFor<Types>();
  const first = await jobs.enqueue(queue, "count", { n: 1 }, { unique: "only" });
  const second = await jobs.enqueue(queue, "count", { n: 2 }, { unique: "only" });
  assert.deepEqual([second.outcome, second.id], ["duplicate", first.id]);
});

test("A handler chooses between later, never again and the queue's policy", { skip: noServer }, async () => {
  const { queue, jobs, stats } = await queueFor<Types>({ retry: { maxAttempts: 2, firstDelayMs: 0, maxDelayMs: 0 } });
  await jobs.enqueueMany(queue, [{ type: "count", payload: { n: 1 } }, { type: "count", payload: { n: 2 } }, { type: "count", payload: { n: 3 } }]);
  const errors: string[] = [];
  const stop = new AbortController();
  const runs: number[] = [];
  await jobs.work(queue, {
    count: (job) => {
      runs.push(job.payload.n);
      if (runs.length >= 5) {
        stop.abort();
      }
      if (job.payload.n === 1) {
        throw new DeadLetter("hopeless", "never again");
      }
      if (job.payload.n === 2 && job.attempt === 1) {
        throw new RetryLater(1);
      }
      if (job.payload.n === 3) {
        throw new TypeError("always");
      }
    },
  }, { signal: stop.signal, concurrency: 1, onError: (error) => errors.push(error instanceof Error ? error.name : "?") });
  assert.deepEqual(runs.toSorted(), [1, 2, 2, 3, 3]);
  assert.deepEqual(errors.toSorted(), ["DeadLetter", "RetryLater", "TypeError", "TypeError"]);
  assert.deepEqual((await stats()).deadReasons, { hopeless: 1, TypeError: 1 });
});

test("After the stop running jobs end and nothing new is leased", { skip: noServer }, async () => {
  const { queue, jobs, stats } = await queueFor<Types>();
  await jobs.enqueueMany(queue, [{ type: "slow", payload: null }, { type: "slow", payload: null }, { type: "slow", payload: null }]);
  const stop = new AbortController();
  const bothRun = new Signal();
  const goOn = new Signal();
  let running = 0;
  const working = jobs.work(queue, {
    slow: async (job) => {
      if (++running === 2) {
        bothRun.resolve();
      }
      await until(goOn.given, job.signal);
    },
  }, { concurrency: 2, signal: stop.signal });
  await bothRun.given;
  stop.abort();
  goOn.resolve();
  assert.deepEqual(await working, { completed: 2, failed: 0, lost: 0 });
  const after = await stats();
  assert.deepEqual([after.readyTotal, after.leased], [1, 0]);
});

test("What has not ended in the time to drain is given back, its attempt not counted", { skip: noServer }, async () => {
  const { queue, jobs } = await queueFor<Types>();
  await jobs.enqueue(queue, "slow", null);
  const stop = new AbortController();
  await jobs.work(queue, { slow: async (job) => (stop.abort(), await until(new Promise(() => {}), job.signal)) }, { signal: stop.signal, drainMs: 1 });
  const [job] = (await api("GET", `/queues/${queue}/peek`)).jobs;
  assert.equal(job.attempt, 1);
});

test("A job that takes longer than its lease keeps it", { skip: noServer }, async () => {
  const { queue, jobs } = await queueFor<Types>();
  await jobs.enqueue(queue, "slow", null);
  let runs = 0;
  const summary = await jobs.work(queue, { slow: () => (runs++, new Promise((resolve) => setTimeout(resolve, 2500))) }, { leaseMs: 1000, untilEmpty: true });
  assert.deepEqual([summary, runs], [{ completed: 1, failed: 0, lost: 0 }, 1]);
});

test("A running job learns that it was cancelled", { skip: noServer }, async () => {
  const { queue, jobs } = await queueFor<Types>();
  const { id } = await jobs.enqueue(queue, "slow", null, { track: true });
  await jobs.work(queue, {
    slow: async (job) => {
      await job.progress(50, "half");
      await api("POST", `/queues/${queue}/jobs/${id}/cancel`);
      await until(new Promise(() => {}), job.signal);
    },
  }, { untilEmpty: true });
  const status = await api("GET", `/queues/${queue}/jobs/${id}`);
  assert.deepEqual([status.state, status.note], ["cancelled", "half"]);
});

test("A refusal for good ends the worker", { skip: noServer }, async () => {
  await assert.rejects(new JobsClient().work("no-such-queue", {}, {}), (error) => error instanceof JobsError && error.status === 404);
});

test("A call whose answer was lost is repeated under the same idempotency key", async () => {
  const keys: unknown[] = [];
  const server = createServer((request, response) => {
    keys.push(request.headers["idempotency-key"]);
    if (keys.length === 1) {
      request.socket.destroy();
    } else if (keys.length === 2) {
      response.writeHead(503, { "content-type": "application/problem+json", "retry-after": "0" }).end('{"code":"unavailable","detail":"starting"}');
    } else {
      response.writeHead(201, { "content-type": "application/json" }).end('{"id":"1","outcome":"added"}');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const jobs = new JobsClient<Types>({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, org: "acme" });
    assert.equal((await jobs.enqueue("mail", "count", { n: 1 })).outcome, "added");
    assert.equal(keys.length, 3);
    assert.equal(new Set(keys).size, 1);
    assert.match(String(keys[0]), /^[0-9a-f-]{36}$/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("The compiler refuses a payload of another type", () => {
  const jobs = new JobsClient<Types>({ org: "acme" });
  const wrong = () => [
    // @ts-expect-error greet wants a name
    jobs.enqueue("mail", "greet", { nam: "x" }),
    // @ts-expect-error there is no such type
    jobs.enqueue("mail", "bye", {}),
    // @ts-expect-error count has no name
    jobs.work("mail", { count: (job) => job.payload.name }),
  ];
  assert.equal(typeof wrong, "function");
});
