#!/usr/bin/python3
"""kdump-capture run with real targets on this machine: directories, ssh, a raw "partition".
Arguments: see run_case.py.
"""
import getpass
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest
from pathlib import Path

from run_case import PAGE, PAGES, PROGRAM, RunTest


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


if __name__ == "__main__":
    unittest.main()
