"""RQ under test. Usage: see bench/jobs/README.md."""
import logging
import multiprocessing
import os
import signal
import sys

import redis
from rq import Queue, SimpleWorker, Worker

import tally

options = tally.parse()


def connect():
    return redis.Redis(options.host, options.port)


def enqueue():
    queue = Queue("bench", connection=connect())
    # result_ttl=0: a finished job leaves nothing behind, as with the other systems.
    def one(*args):
        queue.enqueue(tally.count, *args, result_ttl=0)

    def many(jobs):
        queue.enqueue_many([Queue.prepare_data(tally.count, args, result_ttl=0) for args in jobs])

    tally.enqueue(options, one, many)


def run_worker():
    # SimpleWorker runs the job in its own process; the default Worker forks for each job.
    kind = Worker if options.variant == "fork" else SimpleWorker
    kind(["bench"], connection=connect()).work(logging_level="WARNING")


def work():
    # RQ's concurrency is its number of worker processes.
    tally.prepare(options)
    tally.wait_for_go()
    workers = [multiprocessing.get_context("fork").Process(target=run_worker) for _ in range(options.concurrency)]
    for worker in workers:
        worker.start()
    tally.report_until_told_to_stop()
    for worker in workers:
        os.kill(worker.pid, signal.SIGTERM)
    for worker in workers:
        worker.join(5)
        if worker.is_alive():
            worker.kill()
    tally.say_result()


logging.getLogger("rq.worker").setLevel(logging.WARNING)
sys.modules["__main__"].__dict__[options.command]()
