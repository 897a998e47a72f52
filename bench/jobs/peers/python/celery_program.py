"""Celery under test. Usage: see bench/jobs/README.md."""
import multiprocessing
import os
import signal
import sys

from celery import Celery

import tally

options = tally.parse()
app = Celery("tally", broker=f"redis://{options.redis}/0")
app.conf.update(
    task_default_queue="bench",
    # Nobody reads results; a result backend would only slow it down.
    task_ignore_result=True,
    # "Many short tasks" of Celery's guide on optimising: fetch ahead.
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_pool_limit=50,
)


@app.task(name="bench.count")
def count(id, at, pad):
    tally.count(id, at, pad)


def enqueue():
    # There is no bulk call.
    tally.enqueue(options, count.delay)


def run_worker():
    pool, _, late = options.variant.partition("-")
    if late:
        app.conf.task_acks_late = True
    app.worker_main([
        "worker", f"--pool={pool or 'prefork'}", f"--concurrency={options.concurrency}", "--loglevel=ERROR",
        # Talk among workers, which one worker does not need.
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ])


def work():
    tally.prepare(options)
    tally.wait_for_go()
    worker = multiprocessing.get_context("fork").Process(target=run_worker)
    worker.start()
    tally.report_until_told_to_stop()
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(15)
    if worker.is_alive():
        worker.kill()
    tally.say_result()


sys.modules["__main__"].__dict__[options.command]()
