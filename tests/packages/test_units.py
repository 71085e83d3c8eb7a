#!/usr/bin/python3
"""The systemd units: well formed, what they start is what the packages install, as little allowed as was decided, and the two
scripts behind them do what they say."""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import skip

UNITS = Path(__file__).resolve().parent.parent.parent / "packaging" / "systemd"
SYSTEM = Path("/lib/systemd/system")
# systemd-analyze security: 10 is everything, 0 nothing. What is left is what the job needs; see the units.
EXPOSURE = {"kdumpkit-arm.service": 2.9, "kdumpkit-arm-network.service": 4.0, "kdumpkit-check.service": 2.4, "kdumpkit-report.service": 1.2,
            "kdumpkit-hooks.service": 6.5}


class Units(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A root with the units, systemd's own targets, and programs where the packages have them."""
        cls.root = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        system = cls.root / "lib/systemd/system"
        system.mkdir(parents=True)
        for unit in [*SYSTEM.glob("*.target"), *SYSTEM.glob("*.slice"), *UNITS.glob("*.service"), *UNITS.glob("*.path")]:
            shutil.copy(unit, system / unit.name)
        for program in ["usr/sbin/kdumpkit-mkinitramfs", "usr/sbin/kdump-load", "usr/lib/kdumpkit/arm", "usr/lib/kdumpkit/check-armed",
                        "usr/lib/kdumpkit/report-dumps", "usr/lib/kdumpkit/run-hooks"]:
            (cls.root / program).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/bin/true", cls.root / program)

    def analyze(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(["systemd-analyze", "--no-pager", f"--root={self.root}", *arguments], capture_output=True, text=True)

    def test_verify(self):
        units = [unit.name for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.path"))]
        self.assertEqual(6, len(units))
        for unit in units:
            done = self.analyze("verify", "--man=no", unit)
            self.assertEqual((0, ""), (done.returncode, done.stderr), unit)
        # It can say no.
        bad = self.root / "lib/systemd/system/bad.service"
        bad.write_text("[Service]\nExecStart=/usr/sbin/gone\nNoSuchKey=1\n")
        self.assertNotEqual("", self.analyze("verify", "--man=no", "bad.service").stderr)
        bad.unlink()

    def test_security(self):
        self.assertEqual(set(EXPOSURE), {unit.name for unit in UNITS.glob("*.service")})
        for unit, most in EXPOSURE.items():
            said = self.analyze("security", "--offline=true", unit).stdout
            found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
            self.assertIsNotNone(found, said)
            self.assertLessEqual(float(found[1]), most, said)


class Scripts(unittest.TestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.bin = self.directory / "bin"
        self.bin.mkdir()

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text("#!/bin/sh\n" + text)
        (self.bin / name).chmod(0o755)

    def run_script(self, name: str, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run([UNITS / name, *arguments], capture_output=True, text=True, env={"PATH": f"{self.bin}:/usr/bin:/bin"})

    def dump(self, name: str, content: str = "good") -> Path:
        file = self.directory / "crash" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file.parent

    def test_each_dump_is_explained_once(self):
        # kdump-analyze report DUMP [--format json] -o FILE: says on stderr what is wrong with a dump that is bad.
        self.program("kdump-analyze", f"""
echo "$2" >>{self.directory}/called
grep -q bad "$2" && {{ echo 'it is no dump' >&2; exit 1; }}
[ "$3" = -o ] && printf 'PANIC    why\\nBACKTRACE\\nREGISTERS\\nsecret\\n' >"$4" || echo '{{}}' >"$6"
grep -q part "$2" && exit 3
exit 0
""")
        self.program("kdumpkit-mkinitramfs", f'[ "$1" = --dump-directories ] && echo {self.directory}/crash && echo /nonexistent')
        whole = self.dump("h-2026-01-01T00-00-00Z/vmcore")
        part = self.dump("h-2026-01-02T00-00-00Z.incomplete/vmcore.incomplete", "part")
        bad = self.dump("h-2026-01-03T00-00-00Z/vmcore", "bad")
        unfinished = self.dump("h-2026-01-04T00-00-00Z.partial/vmcore")
        done = self.run_script("report-dumps")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for directory in [whole, part]:
            self.assertTrue((directory / "report.json").exists())
            self.assertIn("PANIC", (directory / "report.txt").read_text())
            self.assertIn(f"<2>crash dump {directory}/vmcore", done.stdout)
        self.assertIn("<4>PANIC    why\n<4>BACKTRACE\n", done.stdout)
        self.assertNotIn("secret", done.stdout)
        self.assertEqual("it is no dump\n", (bad / "report.failed").read_text())
        self.assertFalse((bad / "report.json").exists())
        self.assertIn(f"<4>{bad}/vmcore: could not be explained: it is no dump", done.stdout)
        self.assertEqual(["vmcore"], [file.name for file in unfinished.iterdir()])

        (self.directory / "called").unlink()
        self.assertEqual("", self.run_script("report-dumps").stdout)
        self.assertFalse((self.directory / "called").exists(), "again")

    def test_hooks(self):
        """Each hook gets each explained dump until it is content, and then never again."""
        hooks = self.directory / "hooks.d"
        hooks.mkdir()
        log = self.directory / "log"

        def hook(name: str, text: str, mode: int = 0o755) -> None:
            (hooks / name).write_text("#!/bin/sh\n" + text)
            (hooks / name).chmod(mode)

        hook("good", f'echo "good $1 $PWD $KDUMPKIT_HOOK_VERSION $#" >>{log}; cat >>{log}')
        hook("moody", f'echo "moody $1" >>{log}; [ -e {self.directory}/better ]')
        for ignored in ["good~", "good.dpkg-old"]:
            hook(ignored, f"echo ignored >>{log}")
        hook("not-executable", f"echo ignored >>{log}", 0o644)
        self.program("kdumpkit-mkinitramfs", f'[ "$1" = --dump-directories ] && echo "{self.directory}/my crash" && echo /nonexistent')
        place = self.directory / "my crash"
        whole, failed, fresh, partial = (place / name for name in [
            "h-2026-01-01T00-00-00Z", "h-2026-01-02T00-00-00Z.incomplete", "h-2026-01-03T00-00-00Z", "h-2026-01-04T00-00-00Z.partial"])
        for directory, file in [(whole, "report.json"), (failed, "report.failed"), (fresh, "vmcore"), (partial, "report.json")]:
            directory.mkdir(parents=True)
            (directory / file).touch()
        done = self.run_script("run-hooks", hooks)
        self.assertEqual((1, ""), (done.returncode, done.stderr))
        self.assertEqual([f"good {whole} {whole} 1 1", f"moody {whole}", f"good {failed} {failed} 1 1", f"moody {failed}"],
                         log.read_text().splitlines())
        self.assertIn(f"<4>moody: exit code 1 for {whole}", done.stdout)
        self.assertEqual("good\n", (whole / "hooks.done").read_text())

        log.unlink()
        (self.directory / "better").touch()
        self.assertEqual(0, self.run_script("run-hooks", hooks).returncode)
        self.assertEqual([f"moody {whole}", f"moody {failed}"], log.read_text().splitlines())
        log.unlink()
        self.assertEqual(0, self.run_script("run-hooks", hooks).returncode)
        self.assertFalse(log.exists(), "again")
        (whole / "hooks.done").unlink()
        self.program("kdumpkit-mkinitramfs", "exit 1")
        self.assertEqual(1, self.run_script("run-hooks", hooks).returncode)

    def test_not_armed(self):
        """On this machine, whose command line has no crashkernel=, or where kdump-load says what it says."""
        self.program("kdump-load", "echo 'not armed: nothing is loaded'; exit 3")
        done = self.run_script("check-armed")
        self.assertEqual(1, done.returncode)
        self.assertTrue(done.stdout.startswith("<4>not armed"), done.stdout)


if __name__ == "__main__":
    skip.need("systemd-analyze")
    unittest.main(argv=sys.argv[:1], verbosity=2)
