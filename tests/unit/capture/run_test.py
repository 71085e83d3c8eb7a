#!/usr/bin/python3
"""kdump-capture run with real targets on this machine: directories, a web server, S3's signatures, ssh, a raw "partition".
Arguments: the program, and "http" when it was built with libcurl.

The input is cli_test's: an ELF vmcore without VMCOREINFO. The dump is whole all the same, but there are things to
complain about (no log), so that a success is exit status 3.
"""
import getpass
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))
import schemas  # noqa: E402

PROGRAM = sys.argv.pop(1)
HTTP = len(sys.argv) > 1 and sys.argv[1] == "http" and bool(sys.argv.pop(1))
PAGE, PAGES = 4096, 512


def vmcore():
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 4, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 7, PAGE, 0xffff000000000000, 1 << 30, PAGES * PAGE, PAGES * PAGE, 0)
    return header.ljust(PAGE, b"\0") + os.urandom(PAGES * PAGE)


class RunTest(unittest.TestCase):
    level = "0"

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.here = Path(directory.name)
        self.input = self.here / "in"
        self.input.write_bytes(vmcore())
        self.dumps = self.here / "dumps"

    def command(self, config):
        file = self.here / "config.toml"
        file.write_text(f"[capture]\nlevel = {self.level}\n" + config)
        return [PROGRAM, "run", "--config", str(file), "--input", str(self.input)]

    def run_config(self, config, code=3, **options):
        done = subprocess.run(self.command(config), capture_output=True, text=True, timeout=120, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertTrue(done.stderr.startswith("kdumpkit: capture started"), done.stderr)
        self.assertIn("kdumpkit: capture finished: ", done.stderr)
        return done.stderr

    def directory_target(self, extra=""):
        return f'[[target]]\nkind = "directory"\npath = "{self.dumps}"\n{extra}'

    def only_dump(self, parent=None, suffix="Z"):
        found = list((parent or self.dumps).glob("*"))
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].name.endswith(suffix), found)
        return found[0]

    def check_sums(self, directory):
        sums = dict(reversed(line.split("  ")) for line in (directory / "SHA256SUMS").read_text().splitlines())
        files = {file.name for file in directory.iterdir()} - {"SHA256SUMS"}
        self.assertEqual(set(sums), files)
        for name, value in sums.items():
            self.assertEqual(hashlib.sha256((directory / name).read_bytes()).hexdigest(), value, name)
        return files

    def check_dump(self, file):
        """Every page is there and is the input's."""
        copy = self.here / "copy"
        done = subprocess.run([PROGRAM, "save", file, copy, "-d", "0", "-E", "-f"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(copy.read_bytes().endswith(self.input.read_bytes()[PAGE:]))

    def check_stream(self, stream):
        dump = self.here / "joined"
        done = subprocess.run([PROGRAM, "reassemble", stream, dump, "-f"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_dump(dump)

    def check_summary(self, directory, status="partial"):
        document = json.loads((directory / "summary.json").read_text())
        self.assertEqual(schemas.problems(document, "capture-summary"), [])
        self.assertEqual(document["status"], status)
        return document


class Directories(RunTest):
    def test_files_sums_and_no_reboot_of_a_live_machine(self):
        said = self.run_config("[run]\nfinal_action = \"reboot\"\n" + self.directory_target())
        self.assertIn("this is no crash kernel: no reboot", said)
        dump = self.only_dump()
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore"})
        self.check_dump(dump / "vmcore")
        summary = self.check_summary(dump)
        self.assertEqual(summary["output"]["file"], "vmcore")

    def test_keep(self):
        for year in range(2001, 2006):
            old = self.dumps / f"h-{year}-01-01T00-00-00Z"
            old.mkdir(parents=True)
            (old / "vmcore").write_text("x")
        self.run_config(self.directory_target("keep = 2\n"))
        left = sorted(path.name[:6] for path in self.dumps.iterdir())
        self.assertEqual(left[0], "h-2005")
        self.assertEqual(len(left), 2)

    def test_two_at_once_have_two_names(self):
        for _ in range(3):
            self.run_config(self.directory_target())
        self.assertEqual(len(list(self.dumps.iterdir())), 3)

    def test_what_a_killed_try_left_goes_when_the_dump_is_whole(self):
        """A try that the OOM killer takes, with a dump that takes a while to compress."""
        with self.input.open("r+b") as file:
            file.seek(PAGE)
            for _ in range(PAGES // 2):
                file.write(os.urandom(PAGE).hex().encode())
        old = self.dumps / "h-2001-01-01T00-00-00Z.partial"
        old.mkdir(parents=True)
        run = subprocess.Popen(self.command('compress = "zlib:9"\n' + self.directory_target()), stderr=subprocess.PIPE, text=True)
        self.addCleanup(run.kill)
        deadline = time.monotonic() + 30
        while not list(self.dumps.glob("host-*.partial/vmcore.partial-*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        child = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(child[0]), signal.SIGKILL)
        said = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 3, said)
        self.assertIn("killed by signal 9", said)
        self.assertTrue(old.exists(), "another host's")
        old.rmdir()
        self.check_dump(self.only_dump(suffix="-2") / "vmcore")

    def test_next_target_after_a_full_one(self):
        """A limit on file sizes is a disk that gets full."""
        full = self.here / "full"
        config = f'[[target]]\nkind = "directory"\npath = "{full}"\n'
        done = subprocess.run(["/bin/sh", "-c", 'trap "" XFSZ; ulimit -f 3600; exec "$@"', "sh",
                               *self.command(config + '[[target]]\nkind = "directory"\npath = "/dev/null/x"\n')],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("saved in part", done.stderr)
        dump = self.only_dump(full, ".incomplete")
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore.incomplete"})
        report = subprocess.run([PROGRAM, "info", dump / "vmcore.incomplete"], capture_output=True, text=True)
        self.assertEqual(report.returncode, 0, report.stderr)

    def test_a_limit_and_levels_to_fall_back_to(self):
        self.level = "[0, 1]"
        self.run_config(self.directory_target('max_size = "1M"\n'))
        dump = self.only_dump(suffix=".incomplete")
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore.incomplete"})
        size = (dump / "vmcore.incomplete").stat().st_size
        self.assertTrue((1 << 20) - PAGE < size <= 1 << 20, size)
        summary = self.check_summary(dump)
        self.assertEqual((summary["filter"]["level_asked"], summary["filter"]["level_used"]), (0, 1))
        self.assertTrue(any(note.startswith("level 0 does not fit: ") for note in summary["notes"]), summary["notes"])

    def test_a_target_whose_limit_is_too_small_is_followed_by_the_next(self):
        small = self.here / "small"
        self.run_config(f'[[target]]\nkind = "directory"\npath = "{small}"\nmax_size = "1M"\n' + self.directory_target())
        self.only_dump(small, ".incomplete")
        self.check_dump(self.only_dump() / "vmcore")

    def test_history_goes_into_the_summary(self):
        self.run_config('[[target]]\nkind = "directory"\npath = "/dev/null/x"\n' + self.directory_target())
        notes = self.check_summary(self.only_dump())["notes"]
        self.assertTrue(any("directory /dev/null/x" in note for note in notes), notes)

    def test_nowhere(self):
        said = self.run_config('[[target]]\nkind = "directory"\npath = "/dev/null/x"\n', code=1)
        self.assertIn("capture finished: nothing saved", said)

    def test_bad_configuration(self):
        done = subprocess.run(self.command("[run]\nfoo = 1\n"), capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("config.toml:4: run.foo: there is no such key", done.stderr)
        done = subprocess.run([PROGRAM, "check-config", self.here / "config.toml"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)

    def test_watchdog_is_fed_and_stopped(self):
        dog = self.here / "dog"
        dog.touch()
        self.run_config(f'[run]\nwatchdog = "{dog}"\nfinal_action = "none"\n' + self.directory_target())
        self.assertRegex(dog.read_text(), r"^\.+V$")


class Server(http.server.ThreadingHTTPServer):
    """Takes PUTs into `files`. `trouble(path)` may return a status, or "cut" to close the connection in the middle."""
    daemon_threads = True

    def __init__(self, trouble=lambda path: None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.trouble, self.mkcol = {}, [], trouble, 405
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/crash"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_MKCOL(self):
        self.answer(self.server.mkcol)

    def do_PUT(self):
        self.server.requests.append((self.path, dict(self.headers)))
        size = int(self.headers["Content-Length"])
        trouble = self.server.trouble(self.path)
        if trouble == "cut":
            self.rfile.read(size // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        content = self.rfile.read(size)
        if trouble is None:
            self.server.files[self.path] = content
        self.answer(trouble or 201)


@unittest.skipUnless(HTTP, "built without libcurl")
class Web(RunTest):
    def target(self, server, extra=""):
        return f'[[target]]\nkind = "http"\nurl = "{server.url}"\npart_size = "256K"\n{extra}'

    def check_server(self, server):
        """What the server has is a whole dump; returns the number of parts."""
        names = {}
        for path, content in server.files.items():
            names[path.rsplit("/", 1)[1]] = content
        for line in names["SHA256SUMS"].decode().splitlines():
            value, name = line.split("  ")
            self.assertEqual(hashlib.sha256(names[name]).hexdigest(), value)
        parts = sorted(name for name in names if name.startswith("vmcore.flat."))
        stream = self.here / "stream"
        stream.write_bytes(b"".join(names[name] for name in parts))
        self.check_stream(stream)
        self.assertEqual(json.loads(names["summary.json"])["status"], "partial")
        self.assertIn("dmesg.txt", names)
        return len(parts)

    def test_parts(self):
        server = Server()
        self.run_config(self.target(server))
        self.assertGreater(self.check_server(server), 7)
        self.assertTrue(list(server.files)[-1].endswith("SHA256SUMS"), "the mark of a whole dump comes last")
        for path, headers in server.requests:
            if path in server.files and not path.endswith("summary.json"):
                self.assertEqual(headers["X-Checksum-Sha256"], hashlib.sha256(server.files[path]).hexdigest())

    def test_resumes_after_failures(self):
        """Only the part that failed is sent again."""
        seen = {}

        def trouble(path):
            seen[path] = seen.get(path, 0) + 1
            if path.endswith(".00002") and seen[path] <= 2:
                return "cut"
            return 503 if path.endswith(".00004") and seen[path] == 1 else None
        server = Server(trouble)
        self.run_config(self.target(server))
        self.check_server(server)
        tries = {path[-5:]: count for path, count in seen.items() if "vmcore.flat" in path}
        self.assertEqual((tries["00002"], tries["00004"]), (3, 2))
        self.assertEqual({count for name, count in tries.items() if name not in ("00002", "00004")}, {1})

    def test_gives_up_and_goes_on(self):
        for status in [507, 403, 503]:
            with self.subTest(status):
                shutil.rmtree(self.dumps, ignore_errors=True)
                server = Server(lambda path: status if path.endswith(".00003") else None)
                said = self.run_config(self.target(server, "tries = 2\n") + self.directory_target())
                self.assertIn(f"status {status}", said)
                self.assertFalse(any(path.endswith("/SHA256SUMS") for path in server.files))
                self.check_dump(self.only_dump() / "vmcore")

    def test_a_server_that_takes_nothing_has_nothing(self):
        for status in [401, 403]:
            with self.subTest(status):
                server = Server(lambda path: status)
                server.mkcol = status
                said = self.run_config(self.target(server, "tries = 1\n"), code=1)
                self.assertIn(f"status {status}", said)
                self.assertIn("capture finished: nothing saved", said)
                self.assertEqual(server.files, {})

    def test_nobody_listens(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            said = self.run_config(f'[[target]]\nkind = "http"\nurl = "{url}"\ntries = 1\n' + self.directory_target())
        self.assertIn(f"http {url}: ", said)
        self.only_dump()

    def test_s3_signature(self):
        """Recomputed as Amazon's Signature Version 4 describes it."""
        key = self.here / "key"
        key.write_text("AKID:SECRET\n")
        server = Server()
        self.run_config(self.target(server, f'credentials = "{key}"\ns3_region = "eu-test-1"\n'))
        self.check_server(server)
        for path, headers in server.requests:
            headers = {name.lower(): value for name, value in headers.items()}
            fields = dict(item.strip().split("=", 1) for item in
                          headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
            names = fields["SignedHeaders"].split(";")
            self.assertIn("x-amz-content-sha256", names)
            canonical = "\n".join(["PUT", urllib.parse.quote(path), "",
                                   *(f"{name}:{headers[name].strip()}" for name in names), "",
                                   fields["SignedHeaders"], headers["x-amz-content-sha256"]])
            stamp = headers["x-amz-date"]
            scope = f"{stamp[:8]}/eu-test-1/s3/aws4_request"
            secret = b"AWS4SECRET"
            for word in scope.split("/"):
                secret = hmac.digest(secret, word.encode(), "sha256")
            text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
            self.assertEqual(hmac.new(secret, text.encode(), "sha256").hexdigest(), fields["Signature"], path)
            self.assertEqual(fields["Credential"], f"AKID/{scope}")


class Ssh(RunTest):
    def setUp(self):
        super().setUp()
        self.remote = self.here / "remote"

    def client(self, text):
        """An ssh client of the test's making; its last argument is what the server is to do."""
        script = self.here / "client"
        script.write_text('#!/bin/sh\nfor command; do :; done\n' + text)
        script.chmod(0o755)
        return self.target([str(script)])

    def target(self, command, server="user@server"):
        return f'[[target]]\nkind = "ssh"\nserver = "{server}"\npath = "{self.remote}"\nwait = "1s"\n' \
               f'command = {json.dumps(command)}\n'

    def test_stream_sums_and_rename(self):
        self.run_config(self.client('exec sh -c "$command"\n'))
        dump = self.only_dump(self.remote)
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore.flat"})
        self.check_stream(dump / "vmcore.flat")

    def test_connection_breaks(self):
        """In the middle of the dump: the next target gets it; here stays what never looks whole."""
        self.run_config(self.client('case $command in\n*vmcore.flat*) head -c 300000 >/dev/null; echo broken >&2; exit 255;;\n'
                                    'esac\nexec sh -c "$command"\n') + self.directory_target())
        self.check_dump(self.only_dump() / "vmcore")
        self.assertFalse((self.only_dump(self.remote, ".incomplete") / "vmcore.flat").exists())
        notes = self.check_summary(self.only_dump())["notes"]
        self.assertTrue(any("broken" in note for note in notes), notes)

    def test_wrong_sum_over_there(self):
        said = self.run_config(self.client('case $command in\n*"cat >"*vmcore.flat*) sh -c "$command" && '
                                           f'printf X | dd of=$(ls {self.remote}/*/vmcore.flat) conv=notrunc bs=1 seek=9999 2>/dev/null;'
                                           ' exit;;\nesac\nexec sh -c "$command"\n') + self.directory_target())
        self.assertIn("finishing: ", said)
        self.only_dump()
        self.only_dump(self.remote, ".partial")

    def test_hanging_client(self):
        start = time.monotonic()
        said = self.run_config('[run]\nprepare_deadline = "1s"\n' + self.client("exec sleep 600\n") + self.directory_target())
        self.assertLess(time.monotonic() - start, 40)
        self.assertIn("not done within 1 s (stage prepare)", said)
        self.only_dump()

    def test_refused_key_is_named(self):
        said = self.run_config(self.client('echo "Permission denied (publickey)." >&2; exit 255\n'), code=1)
        self.assertIn("Permission denied (publickey)", said)

    def slow(self):
        """A server that takes 100 KB and then nothing for a while, the first time."""
        return self.client(f'case $command in\n*vmcore.flat*) [ -e {self.here}/again ] || {{ touch {self.here}/again; '
                           'head -c 100000 >/dev/null; exec sleep 60; };;\nesac\nexec sh -c "$command"\n')

    def start_and_wait_for_the_stream(self, config):
        run = subprocess.Popen(self.command(config), stderr=subprocess.PIPE, text=True)
        self.addCleanup(run.kill)
        deadline = time.monotonic() + 30
        while not (self.here / "again").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        return run

    def test_a_killed_try_is_made_again(self):
        """What the kernel does when memory runs out: the second try is a cautious one."""
        run = self.start_and_wait_for_the_stream(self.slow())
        child = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        self.assertEqual(len(child), 1)
        os.kill(int(child[0]), signal.SIGKILL)
        said = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 3, said)
        self.assertIn("killed by signal 9", said)
        self.assertIn("cautiously", said)
        whole = [path for path in self.remote.iterdir() if not path.name.endswith(".partial")]
        self.assertEqual(len(whole), 1)
        self.check_stream(whole[0] / "vmcore.flat")

    def test_the_oom_killer_prefers_the_try(self):
        run = self.start_and_wait_for_the_stream(self.slow())
        child = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0]
        self.assertEqual(int(Path(f"/proc/{child}/oom_score_adj").read_text()), 500)
        self.assertLess(int(Path(f"/proc/{run.pid}/oom_score_adj").read_text()), 500)
        run.terminate()
        run.communicate(timeout=60)

    def test_terminated(self):
        run = self.start_and_wait_for_the_stream(self.slow() + self.directory_target())
        run.terminate()
        said = run.communicate(timeout=60)[1]
        self.assertIn("interrupted", said)
        self.assertFalse(self.dumps.exists(), "no further target after a signal")

    @unittest.skipUnless(shutil.which("sshd", path="/usr/sbin:/usr/bin") and shutil.which("ssh"), "no OpenSSH here")
    def test_openssh(self):
        for name in ["host", "user"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.here / name], check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = self.here / "sshd_config"
        config.write_text(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.here}/host\nPidFile none\nUsePAM no\n"
                          f"AuthorizedKeysFile {self.here}/user.pub\nStrictModes no\nPermitRootLogin yes\n")
        Path("/run/sshd").mkdir(exist_ok=True)
        server = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-f", config])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        known = self.here / "known"
        known.write_text(f"[127.0.0.1]:{port} {(self.here / 'host.pub').read_text()}")
        self.run_config(self.target(["ssh", "-F", "/dev/null", "-p", str(port), "-i", str(self.here / "user"), "-o",
                                     "BatchMode=yes", "-o", f"UserKnownHostsFile={known}"],
                                    f"{getpass.getuser()}@127.0.0.1").replace('"1s"', '"20s"'))
        dump = self.only_dump(self.remote)
        self.check_sums(dump)
        self.check_stream(dump / "vmcore.flat")


class Raw(RunTest):
    """The partition is a file under a name that the configuration takes for a device."""

    def setUp(self):
        super().setUp()
        self.device = self.here / "device"
        self.device.write_bytes(bytes(16 << 20))
        self.target = f'[[target]]\nkind = "raw"\ndevice = "/dev/..{self.device}"\n'

    def program(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_there_and_back(self):
        self.program("claim", self.device)
        self.run_config(self.target)
        self.program("claim", self.device, code=1)  # there is a dump
        self.program("fetch", self.device, self.dumps, "--clear")
        dump = self.only_dump()
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore"})
        self.check_dump(dump / "vmcore")
        self.check_summary(dump)
        self.assertIn("there is no dump", self.program("fetch", self.device, self.dumps).stdout)

    def test_never_over_something_else(self):
        self.device.write_bytes(b"precious".ljust(4 << 20, b"\1"))
        said = self.run_config(self.target + self.directory_target())
        self.assertIn("holds something that is no dump", said)
        self.assertTrue(self.device.read_bytes().startswith(b"precious"))
        self.only_dump()

    def test_damage_is_noticed(self):
        self.run_config(self.target)
        raw = bytearray(self.device.read_bytes())
        raw[raw.index(b"makedumpfile") + 1000000] ^= 1
        self.device.write_bytes(raw)
        self.assertIn("another sum", self.program("fetch", self.device, self.dumps, code=3).stderr)

    def test_unfinished_one_gives_what_it_has(self):
        """Power lost in the middle: the header knows of what was there 64 MiB before."""
        self.run_config(self.target)
        raw = bytearray(self.device.read_bytes()[:4096])
        raw[16] = 1  # being written
        at = raw.index(b"vmcore.flat")
        raw[at + 32:at + 40] = struct.pack("<Q", 1 << 20)
        raw[4064:4096] = hashlib.sha256(raw[:4064]).digest()
        with self.device.open("r+b") as device:
            device.write(raw)
        done = self.program("fetch", self.device, self.dumps, code=3)
        self.assertIn("never finished", done.stderr)
        dump = self.only_dump()
        self.assertEqual(self.check_sums(dump), {"dmesg.txt", "summary.json", "vmcore"})
        self.assertIn("incomplete", self.program("info", dump / "vmcore").stdout.lower())


class Sealed(RunTest):
    """encrypt_to: of what a target gets, nobody can read more than names and sizes; with the secret key all is there."""

    def setUp(self):
        super().setUp()
        self.key = self.here / "key"
        subprocess.run([PROGRAM, "keygen", self.key], check=True, capture_output=True)
        self.sealed = f'encrypt_to = "{self.key}.pub"\n'

    def decrypt(self, file, output):
        done = subprocess.run([PROGRAM, "decrypt", file, "-o", output, "--key", self.key], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return output

    def check_sealed(self, directory):
        self.assertEqual({file.name for file in directory.iterdir()},
                         {"dmesg.txt.sealed", "summary.json.sealed", "vmcore.sealed", "SHA256SUMS"})
        secrets = [self.input.read_bytes()[at:at + 32] for at in range(PAGE, PAGES * PAGE, 64 * PAGE)]
        for file in directory.iterdir():
            content = file.read_bytes()
            for word in [b"capture-summary", b"makedumpfile", b"KDUMP", *secrets]:
                self.assertNotIn(word, content, file)
        opened = self.here / "opened"
        opened.mkdir()
        self.check_dump(self.decrypt(directory / "vmcore.sealed", opened / "vmcore"))
        self.decrypt(directory / "dmesg.txt.sealed", opened / "dmesg.txt")
        self.decrypt(directory / "summary.json.sealed", opened / "summary.json")
        output = self.check_summary(opened)["output"]
        self.assertEqual((output["file"], output["sealed"], output["flattened"]), ("vmcore.sealed", True, True))

    def test_directory(self):
        self.run_config(self.directory_target(self.sealed))
        dump = self.only_dump()
        self.check_sums(dump)
        self.check_sealed(dump)

    def test_raw(self):
        device = self.here / "device"
        device.write_bytes(bytes(16 << 20))
        self.run_config(f'[[target]]\nkind = "raw"\ndevice = "/dev/..{device}"\n' + self.sealed)
        for secret in [b"capture-summary", self.input.read_bytes()[PAGE:PAGE + 32]]:
            self.assertNotIn(secret, device.read_bytes())
        done = subprocess.run([PROGRAM, "fetch", device, self.dumps], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        dump = self.only_dump()
        self.check_sums(dump)
        self.check_sealed(dump)

    def test_ssh(self):
        remote, script = self.here / "remote", self.here / "client"
        script.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
        script.chmod(0o755)
        self.run_config(f'[[target]]\nkind = "ssh"\nserver = "user@server"\npath = "{remote}"\nwait = "1s"\n'
                        f'command = ["{script}"]\n' + self.sealed)
        dump = self.only_dump(remote)
        self.check_sums(dump)
        self.check_sealed(dump)

    @unittest.skipUnless(HTTP, "built without libcurl")
    def test_http(self):
        server = Server()
        self.run_config(f'[[target]]\nkind = "http"\nurl = "{server.url}"\npart_size = "256K"\n' + self.sealed)
        received = self.here / "received"
        received.mkdir()
        for path, content in sorted(server.files.items()):
            name = path.rsplit("/", 1)[1]
            if name.startswith("vmcore.sealed."):
                name = "vmcore.sealed"  # cat vmcore.sealed.*
            with open(received / name, "ab") as file:
                file.write(content)
        self.check_sealed(received)

    def test_one_target_sealed_another_not(self):
        """A key that cannot be read fails its target only."""
        self.run_config(f'[[target]]\nkind = "directory"\npath = "{self.here}/a"\nencrypt_to = "/dev/null"\n' +
                        self.directory_target())
        self.check_dump(self.only_dump() / "vmcore")

    def test_check_config_reads_the_key(self):
        file = self.here / "config.toml"
        file.write_text(self.directory_target(self.sealed))
        done = subprocess.run([PROGRAM, "check-config", file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"sealed to {self.key}.pub", done.stdout)
        file.write_text(self.directory_target(f'encrypt_to = "{self.key}"\n'))
        done = subprocess.run([PROGRAM, "check-config", file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no public key", done.stderr)


if __name__ == "__main__":
    unittest.main()
