#!/usr/bin/python3
"""`kdump-capture run` in the crash kernel of a stock guest, with crashkernel=192M and two CPUs: a directory, a file system
found by its label, a raw disk after a disk that is too full, an ssh and an NFS server on the host, a directory for sealed
files, no target at all, a dump while others hold nearly all memory, and a watchdog. The guest's side is guest/run.sh."""
import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import e2e
import guest
import packages
from dumpfile import INCOMPLETE, DumpFile

# dbclient is an ssh client made for an initramfs: few libraries, no configuration.
CLIENT_PACKAGES = ["dropbear-bin", "libc6", "libcrypt1", "libgmp10", "libtomcrypt1", "libtommath1", "zlib1g"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class SshServer:
    """OpenSSH's sshd on a free port of the loopback; `overlay` is what the guest needs to reach it."""

    def __init__(self, directory: Path, machine):
        self.received = directory / "received"
        self.overlay = directory / "overlay"
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        emulator = shutil.which("qemu-aarch64-static")
        if not sshd or not emulator:
            raise packages.Skip("sshd or qemu-user-static is not installed: run scripts/deps")
        inside = self.overlay / "ssh"
        inside.mkdir(parents=True)
        for package in CLIENT_PACKAGES:
            tree = packages.provide(package, unpack, True, machine)
            for file in [*tree.glob("**/*.so*"), *tree.glob("**/dbclient"), *tree.glob("**/dropbearkey")]:
                if file.is_file() and (".so." in file.name or "." not in file.name):
                    shutil.copyfile(file, inside / file.name)
        for name in ["dbclient", "dropbearkey", "ld-linux-aarch64.so.1"]:
            (inside / name).chmod(0o755)
        key = subprocess.run([emulator, inside / "ld-linux-aarch64.so.1", "--library-path", inside, inside / "dropbearkey",
                              "-t", "ed25519", "-f", inside / "db.key"], capture_output=True, text=True, check=True)
        (inside / "dropbearkey").unlink()
        public = next(line for line in key.stdout.splitlines() if line.startswith("ssh-ed25519"))
        (directory / "authorized").write_text(public + "\n")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "host"], check=True)
        port = free_port()
        (directory / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {directory}/authorized\nPermitRootLogin yes\n")
        Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen([sshd, "-D", "-f", directory / "sshd_config"])
        command = ["/ssh/ld-linux-aarch64.so.1", "--library-path", "/ssh", "/ssh/dbclient", "-y", "-y", "-i", "/ssh/db.key",
                   "-p", str(port)]
        (inside / "config.toml").write_text(
            f'[[target]]\nkind = "ssh"\nserver = "{getpass.getuser()}@10.0.2.2"\npath = "{self.received}"\n'
            f'command = [{", ".join(chr(34) + word + chr(34) for word in command)}]\n')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class NfsServer:
    """NFS-Ganesha, which is a server in user space, on a free port of the loopback; it exports `received`."""

    def __init__(self, directory: Path, overlay: Path):
        self.received, state, config = directory / "export", directory / "nfs-state", directory / "ganesha.conf"
        program = shutil.which("ganesha.nfsd", path="/usr/sbin:/usr/bin")
        if not program:
            raise packages.Skip("ganesha.nfsd is not installed: run scripts/deps")
        for made in [self.received, state, overlay / "nfs"]:
            made.mkdir()
        port = free_port()
        config.write_text(
            f"NFS_CORE_PARAM {{ NFS_Port = {port}; Bind_addr = 127.0.0.1; Protocols = 4; Enable_NLM = false;"
            " Enable_RQUOTA = false; Enable_UDP = false; }\n"
            f'NFSv4 {{ Graceless = true; Only_Numeric_Owners = true; RecoveryBackend = fs; RecoveryRoot = "{state}"; }}\n'
            f'EXPORT {{ Export_Id = 1; Path = "{self.received}"; Pseudo = "/crash"; Access_Type = RW; Squash = No_Root_Squash;'
            " SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }\n")
        self.log = directory / "ganesha.log"
        self.process = subprocess.Popen([program, "-F", "-L", self.log, "-f", config, "-p", directory / "ganesha.pid"])
        (overlay / "nfs" / "config.toml").write_text(
            f'[[target]]\nkind = "nfs"\nserver = "10.0.2.2"\nexport = "/crash"\npath = "dumps"\nkeep = 1\n'
            f'options = "vers=4.1,port={port},soft,timeo=100,retrans=3"\n')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def unpack(deb: Path, tree: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)


class RunTest(e2e.TestCase):
    received: Path
    exported: Path
    key: Path  # the secret one of the sealed target

    def only(self, directory: Path, suffix: str = "Z") -> Path:
        found = list(directory.glob("*"))
        self.assertEqual(1, len(found), found)
        self.assertTrue(found[0].name.endswith(suffix), found)
        return found[0]

    def assert_whole(self, directory: Path, dump: str = "vmcore") -> None:
        """Sums are right; the summary says what happened, and why; the dump is explained by kdump-analyze."""
        lines = (directory / "SHA256SUMS").read_text().splitlines()
        self.assertEqual({"dmesg.txt", "summary.json", dump}, {line.split("  ")[1] for line in lines})
        for line in lines:
            value, name = line.split("  ")
            self.assertEqual(value, hashlib.sha256((directory / name).read_bytes()).hexdigest(), name)
        summary = self.valid_json((directory / "summary.json").read_text())
        self.assertEqual("complete", summary["status"])
        self.assertEqual("sysrq_crash", summary["crash"]["class"]["name"])
        self.assertIn("sysrq triggered crash", (directory / "dmesg.txt").read_text())
        report = self.run_json("kdump-analyze", "report", directory / dump, "--format", "json")
        frames = next(cpu for cpu in report["crash"]["cpus"] if cpu["crashed"])["backtrace"]["frames"]
        self.assertIn("sysrq_handle_crash", [frame["symbol"] for frame in frames])

    def test_directory(self):
        self.assert_exit("directory", 0)
        self.assert_whole(self.only(self.guest_run.path("directory")))
        said = self.guest_run.text("directory.stderr")
        self.assertTrue(said.startswith("kdumpkit: capture started, 1 target"), said)
        self.assertIn("kdumpkit: panic: sysrq triggered crash", said)
        self.assertIn("sysrq_handle_crash+", said)
        self.assertIn("Bye!", said, "the log's last lines")

    def test_file_system_found_by_label(self):
        self.assert_exit("mount", 0)
        self.assertEqual({"dmesg.txt: OK", "summary.json: OK", "vmcore: OK"},
                         set(self.guest_run.text("mount.sums").split("\n")[:-1]))

    def test_a_killed_try_is_made_again(self):
        """What it had mounted is in nobody's way."""
        self.assert_exit("killed", 0)
        said = self.guest_run.text("killed.stderr")
        self.assertIn("killed by signal 9", said)
        self.assertIn("/dev/vdb killed, cautiously: with one thread", said)
        self.assertEqual({"dmesg.txt: OK", "summary.json: OK", "vmcore: OK"},
                         set(self.guest_run.text("killed.sums").split("\n")[:-1]))

    def test_second_target_after_a_full_one(self):
        self.assert_exit("second", 0)
        self.assertTrue(DumpFile(self.guest_run.path("second.vmcore")).status & INCOMPLETE)
        self.assertIn("sysrq triggered crash", self.guest_run.text("second.dmesg"))
        self.assert_exit("fetch", 0)
        dump = self.only(self.guest_run.path("raw"))
        self.assert_whole(dump)
        notes = self.valid_json((dump / "summary.json").read_text())["notes"]
        self.assertTrue(any("No space left on device" in note for note in notes), notes)

    def test_fetched_once(self):
        self.assert_exit("fetch-again", 0)
        self.assertIn("there is no dump", self.guest_run.text("fetch-again.stdout"))

    def test_ssh(self):
        self.assert_exit("ssh", 0)
        self.assert_whole(self.only(self.received), "vmcore.flat")

    def test_nfs(self):
        self.assert_exit("nfs", 0)
        self.assert_whole(self.only(self.exported / "dumps"))

    def test_watchdog_is_fed(self):
        """The first target takes twice as long as it has patience."""
        self.assert_exit("watched", 0)
        self.assert_whole(self.only(self.guest_run.path("watched")))
        self.assertIn(", watchdog /dev/watchdog0\n", self.guest_run.text("watched.stderr"))
        self.assertEqual(["active", "6"], self.guest_run.text("watchdog.fed").split())
        self.assertEqual("inactive", self.guest_run.text("watchdog.after").strip(), "no reboot follows: it was stopped")

    def test_watchdog_resets_a_hung_machine(self):
        console = self.guest_run.text("console.log")
        end = console[console.index("guest: nobody feeds the watchdog"):]
        self.assertIn("softdog: Initiating system reboot", end)
        self.assertNotIn("guest: the watchdog did nothing", end)
        self.assertNotIn("reboot: Power down", end)

    def test_sealed(self):
        """What is on the disk tells nobody anything; with the secret key it is the same dump, log and summary."""
        self.assert_exit("sealed", 0)
        sealed = self.only(self.guest_run.path("sealed"))
        for file in sealed.iterdir():
            content = file.read_bytes()
            for word in [b"sysrq", b"Linux version", b"capture-summary", b"KDUMP", b"VMCOREINFO"]:
                self.assertNotIn(word, content, file)
        with tempfile.TemporaryDirectory() as temp:
            opened = Path(temp)
            for name in ["dmesg.txt", "summary.json", "vmcore"]:
                self.run_program("kdump-capture", "decrypt", sealed / (name + ".sealed"), "-o", opened / name, "--key", self.key)
            summary = self.valid_json((opened / "summary.json").read_text())
            self.assertEqual(("complete", True), (summary["status"], summary["output"]["sealed"]))
            self.assertIn("sysrq triggered crash", (opened / "dmesg.txt").read_text())
            here, there = DumpFile(opened / "vmcore"), DumpFile(self.only(self.guest_run.path("directory")) / "vmcore")
            self.assertEqual(there.dumped, here.dumped)
            for pfn in there.dumped:
                self.assertEqual(there.page(pfn), here.page(pfn), hex(pfn))
            # A target that lost the second half: the first one is still a dump that explains itself.
            cut = opened / "cut"
            cut.write_bytes((sealed / "vmcore.sealed").read_bytes()[:(sealed / "vmcore.sealed").stat().st_size // 2])
            self.run_program("kdump-capture", "decrypt", cut, "-o", opened / "half", "--key", self.key, expect=3)
            self.assertTrue(DumpFile(opened / "half").status & INCOMPLETE)

    def test_nowhere(self):
        self.assert_exit("nowhere", 1)
        self.assertIn("capture finished: nothing saved", self.guest_run.text("nowhere.stderr"))

    def test_little_memory(self):
        """Level 31 in what 192 MiB leave when somebody holds the rest: with two threads, then with so little that one must do."""
        self.assertEqual("2", self.guest_run.text("crash.nproc").strip())
        for step, most_mib, threads in [("little", 56, 2), ("less", 36, 1)]:
            with self.subTest(step):
                memory = dict(line.split(":") for line in self.guest_run.text(step + ".meminfo").splitlines())
                self.assertLess(int(memory["MemAvailable"].split()[0]), most_mib << 10)
                self.assert_exit(step, 0)
                dump = self.only(self.guest_run.path(step))
                self.assert_whole(dump)
                summary = self.valid_json((dump / "summary.json").read_text())
                self.assertEqual((31, threads), (summary["filter"]["level_used"], summary["output"]["threads"]))
        self.assertEqual("", self.guest_run.text("oom"), "nobody was killed")


def main() -> None:
    with tempfile.TemporaryDirectory() as temp:
        servers = []
        try:
            config = guest.CONFIGS["run"]
            server = SshServer(Path(temp), config.machine)
            servers.append(server)
            servers.append(NfsServer(Path(temp), server.overlay))
            RunTest.received, RunTest.exported = (each.received for each in servers)
            RunTest.key = Path(temp, "key")
            subprocess.run([e2e.BIN / "kdump-capture", "keygen", RunTest.key], check=True, stdout=subprocess.DEVNULL)
            (server.overlay / "seal").mkdir()
            shutil.copyfile(f"{RunTest.key}.pub", server.overlay / "seal" / "key.pub")
            # Not from the cache: the server's key is a new one.
            RunTest.guest_run = guest.run(config, guest.Programs(config.machine, overlay=server.overlay), Path(temp, "run"))
            unittest.main(argv=sys.argv[:1], verbosity=2)
        except packages.Skip as skip:
            print(f"skipped: {skip}")
            sys.exit(1 if os.environ.get("CI") == "true" else 77)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
