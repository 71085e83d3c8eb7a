#!/usr/bin/python3
"""Targets over the network, out of an initramfs that kdumpkit-mkinitramfs made: a Debian 12 with a leased address crashes three times,
and its dump goes to an NFS server, an ssh server and a web server (TLS, an authority of its own) on the host. Names are looked up
when the machine is armed, the address is asked for by DHCP or fixed, the network card's driver is a module. The guest's side is
guest/debian-network.sh."""
import getpass
import hashlib
import http.server
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import debian_system
import e2e
import guest
from dumpfile import INCOMPLETE, DumpFile
from test_run import NfsServer, free_port

SCENARIO = debian_system.Scenario("debian-network.sh", installed=True, append="crashkernel=256M", network=True)
HOSTS = "127.0.0.1 localhost\n10.0.2.2 crash-server.example\n"


class SshServer:
    """OpenSSH's sshd on a free port of the loopback."""

    def __init__(self, directory: Path, targets: Path):
        self.received = directory / "ssh"
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        if not sshd:
            raise guest.Skip("sshd is not installed: run scripts/deps")
        for name in ["host", "user"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
        port = free_port()
        (directory / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {directory}/user.pub\nPermitRootLogin yes\n")
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen([sshd, "-D", "-f", directory / "sshd_config"])
        shutil.copy(directory / "user", targets / "key")
        host_key = " ".join((directory / "host.pub").read_text().split()[:2])
        (targets / "known_hosts").write_text(f"[crash-server.example]:{port} {host_key}\n")
        command = ["ssh", "-p", str(port), "-i", "/targets/key", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/targets/known_hosts"]
        (targets / "ssh.toml").write_text(
            f'[[target]]\nkind = "ssh"\nserver = "{getpass.getuser()}@crash-server.example"\npath = "{self.received}"\n'
            f'command = [{", ".join(chr(34) + word + chr(34) for word in command)}]\n')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class WebServer:
    """Takes PUT by TLS, as an artefact store does. No public authority knows it."""

    def __init__(self, directory: Path, targets: Path):
        received = self.received = directory / "http"
        received.mkdir()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if hashlib.sha256(content).hexdigest() != self.headers["X-Checksum-Sha256"]:
                    self.answer(400)
                    return
                file = received / self.path.strip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                self.answer(201)

            def do_MKCOL(self):
                self.answer(405)

            def answer(self, status: int):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=crash-server.example",
                        "-addext", "subjectAltName=DNS:crash-server.example", "-keyout", directory / "web.key", "-out", targets / "web.pem"],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(targets / "web.pem", directory / "web.key")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        (targets / "http.toml").write_text(
            f'[[target]]\nkind = "http"\nurl = "https://crash-server.example:{self.server.server_port}/crash/"\nca_file = "/targets/web.pem"\n'
            '[[network]]\ninterface = "INTERFACE"\nmethod = "fixed"\naddress = ["10.0.2.77/24"]\ngateway = ["10.0.2.2"]\n')

    def stop(self) -> None:
        self.server.shutdown()


class DebianNetwork(e2e.TestCase):
    received: dict[str, Path]

    def only(self, directory: Path, pattern: str) -> Path:
        found = list(directory.glob(pattern))
        self.assertEqual(1, len(found), found)
        return found[0]

    def assert_whole(self, directory: Path, dump: Path) -> None:
        if dump.name == "vmcore":
            self.assertFalse(DumpFile(dump).status & INCOMPLETE)
        self.assertIn("sysrq triggered crash", (directory / "dmesg.txt").read_text())
        self.assertEqual("complete", self.valid_json((directory / "summary.json").read_text())["status"])
        self.assertIn("sysrq_handle_crash", self.run_program("kdump-analyze", "bt", dump))

    def test_armed(self):
        self.assert_exit("needs-none", 1)
        self.assert_exit("needs", 0)
        for step in ["nfs", "ssh", "http"]:
            with self.subTest(step):
                self.assert_exit(f"{step}-arm", 0)
                self.assert_exit(f"{step}-status", 0)
                modules = self.guest_run.text(f"{step}-image.stdout").splitlines()
                self.assertIn("virtio_net.ko", modules)
                self.assertEqual(step == "nfs", "nfsv4.ko" in modules)
                print(step, modules[-1])

    def test_what_the_image_says(self):
        """A leased address is asked for again; a name is an address."""
        nfs = self.guest_run.text("nfs-config.stdout")
        self.assertRegex(nfs, r'mac = "52:54:00:12:34:56"\nmethod = "dhcp"\naddress = \["10\.0\.2\.15/24".*\]\ngateway = \["10\.0\.2\.2"')
        self.assertIn('server = "10.0.2.2"', nfs)
        http_ = self.guest_run.text("http-config.stdout")
        self.assertIn('method = "fixed"\naddress = ["10.0.2.77/24"]', http_)

    def test_nfs(self):
        directory = self.only(self.received["nfs"] / "dumps", "machine-*Z")
        self.assert_whole(directory, directory / "vmcore")

    def test_ssh(self):
        directory = self.only(self.received["ssh"], "machine-*Z")
        self.assert_whole(directory, directory / "vmcore.flat")

    def test_http(self):
        directory = self.only(self.received["http"] / "crash", "machine-*Z")
        self.assertTrue((directory / "SHA256SUMS").exists(), list(directory.iterdir()))
        with tempfile.TemporaryDirectory() as temp:
            whole = Path(temp, "vmcore.flat")
            with whole.open("wb") as out:
                for part in sorted(directory.glob("vmcore.flat.*")):
                    out.write(part.read_bytes())
            self.assert_whole(directory, whole)

    def test_each_boot_arms_by_itself(self):
        """At first with the image of before the crash, then anew."""
        self.assertEqual(["success", "0"], sorted(self.guest_run.text("boot-early.stdout").split(), reverse=True))
        self.assertIn("armed: crash kernel loaded", self.guest_run.text("boot-late.stdout"))
        self.assertEqual("armed", self.valid_json(self.guest_run.text("boot-status.stdout"))["state"])
        self.assertEqual("success", self.guest_run.text("boot-check.stdout").strip())

    def test_an_unknown_name_is_refused(self):
        self.assert_exit("unknown", 1)
        self.assertIn("nobody.invalid: nobody knows this name", self.guest_run.text("unknown.stderr"))

    def test_the_console_tells(self):
        parts = self.guest_run.text("console.log").split("Kernel panic - not syncing: sysrq triggered crash")
        self.assertEqual(4, len(parts))
        for part, place in zip(parts[1:], [r"10\.0\.2\.2:/crash dumps/", "root@crash-server.example:", "https://crash-server.example:"]):
            self.assertRegex(part, f"kdumpkit: capture finished: saved {place}")
            self.assertNotIn("kdump-init:", part)

    def test_armed_in_the_end(self):
        self.assertEqual("armed", self.valid_json(self.guest_run.text("back.stdout"))["state"])
        self.assertEqual("", self.guest_run.text("back-failed.stdout"), "failed units")


def main() -> None:
    with tempfile.TemporaryDirectory() as temp:
        servers = {}
        try:
            overlay = Path(temp, "overlay")
            targets = overlay / "targets"
            targets.mkdir(parents=True)
            servers["ssh"] = SshServer(Path(temp), targets)
            servers["http"] = WebServer(Path(temp), targets)
            servers["nfs"] = NfsServer(Path(temp), overlay)
            text = (overlay / "nfs/config.toml").read_text()
            (targets / "nfs.toml").write_text(text.replace('server = "10.0.2.2"', 'server = "crash-server.example"'))
            (targets / "unknown.toml").write_text(text.replace('server = "10.0.2.2"', 'server = "nobody.invalid"'))
            (overlay / "etc").mkdir()
            (overlay / "etc/hosts").write_text(HOSTS)
            DebianNetwork.received = {name: server.received for name, server in servers.items()}
            # Not from the cache: the servers' ports and keys are new ones.
            e2e.TestCase.guest_run = debian_system.run_now(SCENARIO, overlay, Path(temp, "run"))
            unittest.main(argv=sys.argv[:1], verbosity=2)
        except guest.Skip as skip:
            print(f"skipped: {skip}")
            sys.exit(1 if os.environ.get("CI") == "true" else 77)
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
