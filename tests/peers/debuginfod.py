#!/usr/bin/python3
"""`kdump-analyze bt --debuginfod` of a dump whose debug information only a server has: elfutils' client against a web server that
answers as debuginfod does. The trace is the one that the files at hand give, of the kernel and of a module.

  debuginfod.py KDUMP_ANALYZE CONFIGURATION
"""
import functools
import http.server
import json
import os
import re
import sys
import tempfile
import threading
from pathlib import Path

import peers

sys.path.insert(0, str(peers.ROOT / "tests" / "e2e"))
import guest  # noqa: E402
import module  # noqa: E402


class Handler(http.server.SimpleHTTPRequestHandler):
    asked = []

    def log_message(self, *_):
        self.asked.append(self.path)


def build_id(file):
    return re.search(r"Build ID: (\w+)", peers.run("readelf", "-n", file)).group(1)


def frames(trace):
    cpu = next(cpu for cpu in trace["crash"]["cpus"] if cpu["crashed"])
    return cpu["backtrace"]["frames"]


def main(analyze, config):
    dump = peers.guest_run(config) / "vmcore"
    kernel = guest.kernels.kernel(guest.CONFIGS[config].kernel)
    files = {build_id(file): file for file in (kernel.vmlinux, module.kdk_crash(kernel))}
    report = peers.Report()
    with tempfile.TemporaryDirectory() as temp:
        for name, file in files.items():
            place = Path(temp, "server", "buildid", name)
            place.mkdir(parents=True)
            (place / "debuginfo").symlink_to(file)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=Path(temp, "server")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = dict(os.environ, DEBUGINFOD_URLS=f"http://127.0.0.1:{server.server_port}", DEBUGINFOD_CACHE_PATH=str(Path(temp, "cache")))

        def trace(*words, **options):
            return frames(json.loads(peers.run(analyze, "bt", dump, "--json", *words, **options)))

        known = trace("--vmlinux", kernel.vmlinux, "--debug-dir", module.kdk_crash(kernel).parent)
        alone = trace(env=here)
        report.check("nobody is asked without --debuginfod", Handler.asked)
        report.check("lines are missing without it", [] if alone != known else ["the files are found without a server"])
        fetched = trace("--debuginfod", env=here)
        report.check(f"the trace is the same, {len(known)} frames", [] if fetched == known else [f"{fetched} instead of {known}"])
        asked = [f"/buildid/{name}/debuginfo" for name in files]
        report.check("the kernel's and the module's file were asked for", [] if Handler.asked == asked else Handler.asked)
        report.check("a second time they come from the cache",
                     [] if trace("--debuginfod", env=here) == known and Handler.asked == asked else Handler.asked)
        server.shutdown()
    report.exit()


main(sys.argv[1], sys.argv[2])
