#!/usr/bin/python3
"""What leads from a crash to a ticket: the example hook against a web server, sos's plugin in a real `sos report`, supportconfig's
plugin as supportconfig calls it."""
import http.server
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from pathlib import Path

import skip

PACKAGING = Path(__file__).resolve().parent.parent.parent / "packaging"


class Collector(http.server.BaseHTTPRequestHandler):
    got: list = []
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Collector.got.append((self.path, self.headers["Content-Type"], body))
        self.send_response(Collector.status)
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Tickets(unittest.TestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.crash = self.directory / "crash"
        for name in ["b-2026-01-02T00-00-00Z", "a-2026-01-03T00-00-00Z.incomplete", "z-2026-01-04T00-00-00Z.partial"]:
            (self.crash / name).mkdir(parents=True)
            (self.crash / name / "report.json").write_text(f'{{"of": "{name}"}}')
            (self.crash / name / "dmesg.txt").write_text(f"log of {name}\n")
            (self.crash / name / "vmcore").write_text("memory")
        self.newest = self.crash / "a-2026-01-03T00-00-00Z.incomplete"
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        for name, text in [("kdumpkit-mkinitramfs", f'[ "$1" = --dump-directories ] && echo /nonexistent && echo {self.crash}'),
                           ("kdump-load", 'echo "kdump-load $*"; exit 3'), ("kdump-capture", 'echo "kdump-capture $*"')]:
            (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.bin / name).chmod(0o755)
        self.environment = os.environ | {"PATH": f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def test_example_hook(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/crashes"

        def call() -> int:
            Collector.got = []
            return subprocess.run([PACKAGING / "hooks" / "post-report", self.newest], capture_output=True,
                                  env=self.environment | {"KDUMPKIT_COLLECTOR": url, "no_proxy": "127.0.0.1"}).returncode

        self.assertEqual(0, call())
        self.assertEqual([("/crashes", "application/json", (self.newest / "report.json").read_bytes())], Collector.got)
        (self.newest / "report.json").rename(self.newest / "report.failed")
        self.assertEqual(0, call())
        self.assertEqual("text/plain", Collector.got[0][1])
        Collector.status = 503
        self.assertNotEqual(0, call(), "the collector did not take it")
        url = "http://127.0.0.1:1/"
        self.assertNotEqual(0, call())

    def test_supportconfig(self):
        done = subprocess.run([PACKAGING / "supportconfig" / "kdumpkit"], capture_output=True, text=True, env=self.environment)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("#==[ kdump-load status --json ]==#\nkdump-load status --json\n# exit code 3\n", done.stdout)
        self.assertIn(f'{{"of": "{self.newest.name}"}}', done.stdout)
        self.assertIn(f"log of {self.newest.name}", done.stdout)
        self.assertNotIn("b-2026", done.stdout)
        self.assertNotIn("memory", done.stdout)
        shutil.rmtree(self.crash)
        done = subprocess.run([PACKAGING / "supportconfig" / "kdumpkit"], capture_output=True, text=True, env=self.environment)
        self.assertIn("no crash dump is stored here", done.stdout)

    def test_sos(self):
        if os.geteuid() != 0:
            self.skipTest("sos report needs root")
        # sos looks for plugins beside its own, and for programs in a path of its own: a copy of it, with ours.
        python = self.directory / "python"
        shutil.copytree("/usr/lib/python3/dist-packages/sos", python / "sos")
        shutil.copy(PACKAGING / "sos" / "kdumpkit.py", python / "sos" / "report" / "plugins")
        policy = python / "sos/policies/debian.py"
        text = policy.read_text()
        self.assertIn('PATH = "/usr/sbin', text)
        policy.write_text(text.replace('PATH = "/usr/sbin', f'PATH = "{self.bin}:/usr/sbin'))
        done = subprocess.run(["/usr/bin/python3", "/usr/bin/sos", "report", "--batch", "--only-plugins", "kdumpkit", "--tmp-dir",
                               self.directory, "--compression-type", "gzip", "--quiet"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=self.environment | {"PYTHONPATH": str(python), "LC_ALL": "C.UTF-8"})
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        [archive] = self.directory.glob("sosreport-*.tar.gz")
        with tarfile.open(archive) as tar:
            names = ["/" + name.split("/", 1)[1] for name in tar.getnames() if "/" in name]
        self.assertIn(f"{self.newest}/report.json", names)
        self.assertIn(f"{self.newest}/dmesg.txt", names)
        self.assertEqual([], [name for name in names if name.endswith("vmcore") or "b-2026" in name or ".partial" in name])
        self.assertTrue(any(name.endswith("kdump-load_status_--json") for name in names), names)


if __name__ == "__main__":
    skip.need("curl", "sos")
    unittest.main(argv=sys.argv[:1], verbosity=2)
