"""What gevent does of the bench `waits`: its first argument is the work, its second the page."""

from gevent import monkey

monkey.patch_all()

import resource
import sys
import time
from urllib.request import urlopen

import gevent


def processor():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def fetch(url):
    for _ in range(3):
        with urlopen(url) as page:
            assert len(page.read()) == 1000


work, url = sys.argv[1:]
before, start = processor(), time.monotonic()
if work == "fetch":
    jobs = [gevent.spawn(fetch, url) for _ in range(1000)]
else:
    jobs = [gevent.spawn(time.sleep, 0.2) for _ in range(10000)]
gevent.joinall(jobs, raise_error=True)
took = time.monotonic() - start
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM:")).split()[1]
print(took, processor() - before, int(peak) * 1024)
