"""The works of benches/compare in Python, on MiniHuey and on gevent alone: takes work, peer, case
and count, prints one JSON object. A tenth of the tasks is called where each takes long."""

import gevent.monkey

gevent.monkey.patch_all()

import json
import os
import random
import resource
import socket
import sys
import time

import gevent
from huey.contrib.mini import MiniHuey

FEWER = 10

huey = MiniHuey()
steps = 0


def compute(steps):
    state = steps
    for _ in range(steps):
        state = (state * 5 + 1) & 0xFFFF
    return state


def add_one(number):
    if steps:
        compute(steps)
    return number + 1


def caller(peer, function):
    """How `peer` calls `function`; what is called has a method `get`."""
    if peer.startswith("python-minihuey"):
        return huey.task()(function)
    return lambda *arguments: gevent.spawn(function, *arguments)


def later(peer, function):
    """How `peer` calls `function` with arguments after a delay in seconds."""
    if peer.startswith("python-minihuey"):
        task = huey.task()(function)
        return lambda delay, *arguments: task.schedule(args=arguments, delay=delay)
    return lambda delay, *arguments: gevent.spawn_later(delay, function, *arguments)


def in_groups(call, count, width):
    start = time.monotonic()
    total = 0
    for first in range(0, count, width):
        results = [call(number) for number in range(first, min(count, first + width))]
        total += sum([result.get() for result in results])
    took = time.monotonic() - start
    assert total == count * (count + 1) // 2, "a value was lost"
    return took


def producers(call, count):
    start = time.monotonic()
    gevent.joinall([gevent.spawn(in_groups, call, count // 4, count // 4) for _ in range(4)])
    return time.monotonic() - start


def calls(peer, case, count):
    call = caller(peer, add_one)
    if count > 100_000 and case.endswith("000"):
        raise RuntimeError("left out: it takes a minute")
    if not case.endswith("000"):
        count = max(count // FEWER, 100)

    def run(count):
        if case == "nested":
            return caller(peer, in_groups)(call, count, 1).get()
        if case == "fan-out":
            return caller(peer, in_groups)(call, count, 1000).get()
        if case == "producers":
            return producers(call, count)
        return in_groups(call, count, count)

    run(count // 10 + 4)
    times = sorted(run(count) for _ in range(min(20, max(1, 50_000 // count))))
    return {"ns": times[len(times) // 2] / count * 1e9, "tasks": count}


def computing(peer, case, count):
    global steps
    fastest = 1.0
    for _ in range(200):
        start = time.perf_counter()
        compute(1000)
        fastest = min(fastest, time.perf_counter() - start)
    steps = max(1, int(1000 * 10e-6 / fastest))
    return calls(peer, case, count)


def status(file, field):
    with open(file) as lines:
        return next(float(line.split()[1]) for line in lines if line.startswith(field))


def resident():
    return status("/proc/self/status", "VmRSS:") * 1024


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def sockets(peer, case, count):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ports = [int(port) for port in os.environ["COMPARE_PORTS"].split(",")]

    def ask(port):
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.sendall(b"1")
            return len(stream.recv(1))

    call = caller(peer, ask)
    call(ports[0]).get()
    start, before = time.monotonic(), cpu()
    results = [call(ports[number % len(ports)]) for number in range(count)]
    answers = sum([result.get() for result in results])
    wall, used = time.monotonic() - start, cpu() - before
    if answers != count:
        raise RuntimeError("an answer is missing")
    return {"wall": wall * 1e9, "cpu": used * 1e9, "peak": status("/proc/self/status", "VmHWM:") * 1024}


begun = 0
ended = 0


def begin():
    global begun
    begun += 1


def end():
    global ended
    ended += 1


def wait_for(count):
    while ended < count:
        gevent.sleep(0.001)


def end_with(number):
    end()


def waiting(count, bytes, inserted, drained):
    each = {"bytes": bytes, "insert": inserted * 1e9, "drain": drained * 1e9}
    return {name: value / count for name, value in each.items()} | {"tasks": count}


def queued(peer, case, count):
    count //= FEWER
    call = caller(peer, end_with)
    before, start = resident(), time.monotonic()
    for number in range(count):
        call(number)
    inserted, after = time.monotonic() - start, resident()
    # Nothing has run: there was no wait.
    start = time.monotonic()
    wait_for(count)
    return waiting(count, after - before, inserted, time.monotonic() - start)


def scheduled(peer, case, count):
    count //= FEWER
    # It looks at its schedule once in its interval: as often as it may.
    huey._interval = 0.001
    schedule = later(peer, end)
    ahead = max(0.5, count * 40e-6)
    before, start = resident(), time.monotonic()
    due = start + ahead
    for _ in range(count):
        schedule(due + random.random() * 0.001 - time.monotonic())
    inserted, after = time.monotonic() - start, resident()
    if time.monotonic() > due:
        raise RuntimeError("the first were due before the last were inserted")
    if peer == "python-minihuey":
        huey.start()
    wait_for(count)
    return waiting(count, after - before, inserted, time.monotonic() - due - 0.001)


def sleeping(peer, case, count):
    def nap(until):
        begin()
        gevent.sleep(max(0, until - time.monotonic()))
        end()

    call = caller(peer, nap)
    before, start = resident(), time.monotonic()
    until = start + max(1.0, count * 200e-6)
    for _ in range(count):
        call(until)
    while begun < count:
        gevent.sleep(0.001)
    inserted, after = time.monotonic() - start, resident()
    wait_for(count)
    return waiting(count, after - before, inserted, time.monotonic() - until)


def lateness(peer, case, count):
    late = []
    spin_calls = 0
    stop = False

    def arrive(due):
        late.append(time.monotonic() - due)

    def spin():
        start = time.perf_counter()
        while time.perf_counter() - start < 1e-6:
            pass

    def load():
        nonlocal spin_calls
        call = caller(peer, spin)
        results = []
        while not stop:
            while len(results) < 200:
                results.append(call())
                spin_calls += 1
            for result in results[:50]:
                result.get()
            del results[:50]

    if peer == "python-minihuey":
        huey.start()
    begun_at = time.monotonic()
    if case == "load":
        gevent.spawn(load)
        gevent.sleep(0.1)
    schedule = later(peer, arrive)
    start = time.monotonic() + 0.5
    for _ in range(count):
        due = start + random.random() * 2
        schedule(due - time.monotonic(), due)
    gevent.sleep(start + 2 - time.monotonic())
    while len(late) < count:
        gevent.sleep(0.01)
    stop = True
    late = [max(0.0, seconds) for seconds in sorted(late)]
    result = {
        "median": late[count // 2] * 1e9,
        "99th": late[(count - 1) * 99 // 100] * 1e9,
        "max": late[-1] * 1e9,
    }
    if case == "load":
        result["rate"] = spin_calls / (time.monotonic() - begun_at)
    return result


def wakes():
    tasks = os.listdir("/proc/self/task")
    files = [f"/proc/self/task/{task}/status" for task in tasks]
    return sum(status(file, "voluntary_ctxt_switches:") for file in files), len(tasks)


def idle(peer, case, millis):
    if peer == "python-minihuey":
        huey.start()
    caller(peer, add_one)(1).get()
    gevent.sleep(0.5)
    before, _ = wakes()
    used = cpu()
    gevent.sleep(millis / 1000)
    used = cpu() - used
    after, threads = wakes()
    seconds = millis / 1000
    return {"wakes": (after - before) / seconds, "cpu": used * 1e9 / seconds, "threads": threads}


WORKS = {
    "throughput": calls,
    "growth": calls,
    "compute": computing,
    "sockets": sockets,
    "queued": queued,
    "scheduled": scheduled,
    "sleeping": sleeping,
    "lateness": lateness,
    "idle": idle,
}


def main():
    work, peer = sys.argv[1:3]
    if work == "startup":
        print(caller(peer, add_one)(2).get())
        return
    case, count = sys.argv[3], int(sys.argv[4])
    try:
        answer = WORKS[work](peer, case, count)
    except Exception as why:
        answer = {"absent": str(why) or repr(why)}
    print(json.dumps(answer))


main()
