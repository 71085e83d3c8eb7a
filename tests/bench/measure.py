"""What one run of a program costs, for the benchmarks of this folder."""
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float  # seconds, of the user and of the kernel for it
    peak: float  # MB of the largest resident set, with page cache that is mapped
    anonymous: float  # MB of the largest RssAnon seen, polled: memory of its own


def forget(path):
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # what is not on the disk yet cannot leave
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(command):
    """(Cost, exit status, what it printed)."""
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    largest = [0]
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            try:
                text = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            if match := re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE):
                largest[0] = max(largest[0], int(match[1]))
            ended.wait(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, largest[0] * 1024 / 1e6)
    return cost, process.returncode, output
