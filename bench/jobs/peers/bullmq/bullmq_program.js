// BullMQ under test. Usage: see bench/jobs/README.md.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const { values: options, positionals: [command] } = parseArgs({
  allowPositionals: true,
  options: {
    redis: { type: 'string' },
    count: { type: 'string' },
    mode: { type: 'string' },
    rate: { type: 'string', default: '200' },
    concurrency: { type: 'string', default: '50' },
    variant: { type: 'string', default: '' },
    latency: { type: 'boolean', default: false },
  },
});
const count = Number(options.count);
const [host, port] = options.redis.split(':');
// What BullMQ asks for: a blocking connection has to wait for ever.
const connect = () => new Redis({ host, port: Number(port), maxRetriesPerRequest: null });
// id, time and padding are 80 bytes as JSON: {"id":1234567,"at":1763700000000000,"pad":"..."}
const pad = 'x'.repeat(35);
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
const say = values => console.log(JSON.stringify(values));
const lines = createInterface({ input: process.stdin });
// Listening from the start: what stdin brings before anybody waits for it would be lost.
const go = new Promise(resolve => lines.once('line', resolve));
const ended = new Promise(resolve => lines.once('close', resolve));
const waitForGo = () => {
  say({ ready: true });
  return go;
};

async function enqueue() {
  const connection = connect();
  // A finished job leaves nothing behind, as with the other systems.
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
  const add = id => queue.add('count', { id, at: now(), pad });
  // So that connecting and loading scripts are not measured: the first job of each run goes in before.
  await add(0);
  await waitForGo();
  const first = now();
  let next = 1;
  switch (options.mode) {
    case 'single':
      while (next < count) await add(next++);
      break;
    case 'inflight50':
      await Promise.all(Array.from({ length: 50 }, async () => {
        while (next < count) await add(next++);
      }));
      break;
    case 'bulk':
      while (next < count) {
        const jobs = [];
        for (; jobs.length < 1000 && next < count; next++) jobs.push({ name: 'count', data: { id: next, at: now(), pad } });
        await queue.addBulk(jobs);
      }
      break;
    case 'rate':
      for (; next < count; next++) {
        const wait = first + next * 1e6 / Number(options.rate) - now();
        if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait / 1000));
        await add(next);
      }
      break;
  }
  say({ jobs: count, first, last: now() });
  await queue.close();
  connection.disconnect();
}

async function work() {
  const delays = options.latency ? new Array(count).fill(0) : undefined;
  const tally = { done: 0, sum: 0, first: 0, last: 0 };
  const connection = connect();
  await connection.ping();
  await waitForGo();
  const worker = new Worker('bench', async ({ data: { id, at } }) => {
    const started = now();
    tally.done++;
    tally.sum += id;
    tally.first ||= started;
    tally.last = started;
    if (delays) delays[id] = started - at;
  }, { connection, concurrency: Number(options.concurrency), removeOnComplete: { count: 0 } });
  worker.on('error', error => console.error(error));
  const progress = setInterval(() => say({ done: tally.done }), 50);
  await ended;
  clearInterval(progress);
  await worker.close();
  say({ ...tally, ...(delays && { delays }) });
  connection.disconnect();
}

await { enqueue, work }[command]();
process.exit(0);
