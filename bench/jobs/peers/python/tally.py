"""What the RQ and the Celery program share: the command line, the talk with the runner, and the count over forked processes.

Jobs live in this module because both libraries look a job up by the module it is in, and refuse __main__.
"""
import argparse
import json
import mmap
import multiprocessing
import struct
import sys
import threading
import time

# id, time and padding are 80 bytes as JSON: {"id":1234567,"at":1763700000000000,"pad":"..."}
PAD = "x" * 35

_SLOTS = struct.Struct("=qqqq")  # done, sum of the ids, first and last in µs since 1970
_shared = None
_lock = multiprocessing.Lock()
_delays = None


def now():
    return time.time_ns() // 1000


def parse():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    enqueue = commands.add_parser("enqueue")
    enqueue.add_argument("--mode", choices=["single", "inflight50", "bulk", "rate"], required=True)
    enqueue.add_argument("--rate", type=int, default=200)
    work = commands.add_parser("work")
    work.add_argument("--concurrency", type=int, default=10)
    work.add_argument("--variant", default="")
    work.add_argument("--latency", action="store_true")
    for command in (enqueue, work):
        command.add_argument("--redis", required=True, help="host:port")
        command.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    options.host, port = options.redis.split(":")
    options.port = int(port)
    return options


def prepare(options):
    """Before any fork: memory that the children inherit."""
    global _shared, _delays
    _shared = mmap.mmap(-1, _SLOTS.size)
    if options.latency:
        _delays = multiprocessing.Array("q", options.count, lock=False)


def count(id, at, pad):
    """The no-op job."""
    started = now()
    with _lock:
        done, total, first, _ = _SLOTS.unpack_from(_shared)
        _SLOTS.pack_into(_shared, 0, done + 1, total + id, first or started, started)
    if _delays is not None:
        _delays[id] = started - at


def say(**values):
    print(json.dumps(values), flush=True)


def wait_for_go():
    say(ready=True)
    if not sys.stdin.readline():
        sys.exit(1)


def report_until_told_to_stop():
    """A line each 50 ms; returns when the runner closes stdin."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    while not stop.wait(0.05):
        say(done=_SLOTS.unpack_from(_shared)[0])


def say_result():
    done, total, first, last = _SLOTS.unpack_from(_shared)
    say(done=done, sum=total, first=first, last=last, **({} if _delays is None else {"delays": list(_delays)}))


def enqueue(options, one, many=None):
    """Runs one(id, at, pad) or many([(id, at, pad), …]) until all jobs are in the queue."""
    # So that connecting is not measured: the first job of each run goes in before.
    one(0, now(), PAD)
    wait_for_go()
    first = now()
    if options.mode == "single":
        for id in range(1, options.count):
            one(id, now(), PAD)
    elif options.mode == "inflight50":
        ids = iter(range(1, options.count))
        threads = [threading.Thread(target=lambda: [one(id, now(), PAD) for id in _shared_iterator(ids)]) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif options.mode == "bulk":
        for start in range(1, options.count, 1000):
            many([(id, now(), PAD) for id in range(start, min(start + 1000, options.count))])
    else:
        for id in range(1, options.count):
            wait = first + id * 1_000_000 // options.rate - now()
            if wait > 0:
                time.sleep(wait / 1e6)
            one(id, now(), PAD)
    say(jobs=options.count, first=first, last=now())


def _shared_iterator(ids):
    # next() of a range's iterator is one step of the interpreter: no lock needed.
    while (id := next(ids, None)) is not None:
        yield id
