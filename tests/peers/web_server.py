#!/usr/bin/python3
"""`kdump-capture run` with a real web server, lighttpd with WebDAV: a guest's dump goes there in parts, while the server is taken
away in the middle and comes back. What it then has is the whole dump, with right sums, page by page.

  web_server.py KDUMP_CAPTURE PAGE_HASH CONFIGURATION
"""
import hashlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers

CONFIG = """server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_auth", "mod_authn_file", "mod_webdav")
server.upload-dirs = ("{here}")
server.errorlog = "{here}/errors"
auth.backend = "plain"
auth.backend.plain.userfile = "{here}/users"
auth.require = ("/crash" => ("method" => "basic", "realm" => "crash", "require" => "valid-user"))
$HTTP["url"] =~ "^/crash($|/)" {{ webdav.activate = "enable" webdav.is-readonly = "disable" }}
"""


class Server:
    def __init__(self, here):
        self.program = shutil.which("lighttpd", path="/usr/sbin:/usr/bin")
        if not self.program:
            peers.skip("lighttpd is not installed: run scripts/deps")
        self.config, self.files = here / "lighttpd.conf", here / "root" / "crash"
        self.files.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (here / "users").write_text("kdump:a secret\n")
        self.config.write_text(CONFIG.format(root=here / "root", here=here, port=self.port))
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "-D", "-f", self.config])
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("lighttpd does not listen")

    def stop(self):
        self.process.kill()
        self.process.wait()


def capture(program, here, server, dump, secret):
    (here / "secret").write_text(secret + "\n")
    config = here / "kdumpkit.toml"
    config.write_text('[capture]\nlevel = 31\nthreads = 1\n[[target]]\nkind = "http"\n'
                      f'url = "http://127.0.0.1:{server.port}/crash/"\ncredentials = "{here}/secret"\npart_size = "256K"\ntries = 6\n')
    return subprocess.Popen([program, "run", "--config", config, "--input", dump], stderr=subprocess.PIPE, text=True)


def main():
    program, page_hash, config = sys.argv[1:]
    dump = peers.guest_run(config) / "vmcore"
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        server = Server(here)
        try:
            run = capture(program, here, server, dump, "kdump:wrong")
            said = run.communicate()[1]
            report.check("a wrong password is refused, and said", [] if run.returncode == 1 and "status 401" in said else [said])

            run = capture(program, here, server, dump, "kdump:a secret")
            while run.poll() is None and len(list(server.files.glob("*/vmcore.flat.*"))) < 3:
                time.sleep(0.01)
            server.stop()
            before = len(list(server.files.glob("*/vmcore.flat.*")))
            time.sleep(1)
            server.start()
            said = run.communicate()[1]
            report.check("saved, with a server that was away for a second", [] if run.returncode == 0 else [said])
        finally:
            server.stop()
        found = list(server.files.iterdir())
        report.check("one dump", [] if len(found) == 1 else found)
        parts = sorted(found[0].glob("vmcore.flat.*"))
        report.check(f"{len(parts)} parts, {before} before it was away", [] if 3 <= before < len(parts) else ["not in the middle"])
        lines = dict(reversed(line.split("  ")) for line in (found[0] / "SHA256SUMS").read_text().splitlines())
        report.check("sums of all files", {file.name for file in found[0].iterdir()} - {"SHA256SUMS"} ^ lines.keys())
        report.check("the sums are right", [name for name, value in lines.items()
                                            if hashlib.sha256((found[0] / name).read_bytes()).hexdigest() != value])
        (here / "stream").write_bytes(b"".join(part.read_bytes() for part in parts))
        peers.run(program, "reassemble", here / "stream", here / "vmcore")
        ours, theirs = (peers.our_pages(page_hash, file)[0] for file in (dump, here / "vmcore"))
        report.check(f"the same {sum(page.present for page in ours.values())} pages",
                     [hex(pfn) for pfn, page in ours.items() if vars(page) != vars(theirs[pfn])])
    report.exit()


if __name__ == "__main__":
    main()
