#!/usr/bin/python3
"""The commands that README.md and docs/ show about a dump are run on one, that of the guest 6.12-a57: each does what it is shown for
(exit code 0, or 3 where a dump of level 31 lacks something), and says something. Those about a machine are run in the guest of
test_debian_frameworks.py."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import e2e
import guest

sys.path.insert(0, str(guest.ROOT / "tests" / "support"))
import doc_commands  # noqa: E402

# Where the documentation's files are here. The addresses in it are another boot's.
PLACES = {"/proc/vmcore": "full", "/mnt/": "mnt/", "/var/crash/HOST-TIME": "crash/host-time", "/var/crash": "crash", "/etc/": "etc/"}
FILES = {
    "etc/kdump.conf": "path /var/crash\ncore_collector makedumpfile -l -d 31\n",
    "etc/sysconfig/kdump": 'KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1"\n',
    "etc/default/kdump-tools": 'KDUMP_COREDIR="/var/crash"\n',
    "rules.toml": '[[variable]]\nname = "saved_command_line"\ntype = "char *"\n',
}


class Docs(e2e.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.here = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        run = cls.guest_run
        for directory in ["mnt", "modules", "crash/host-time", "etc/kdump"]:
            (cls.here / directory).mkdir(parents=True)
        (cls.here / "full").symlink_to(run.path("full.elf"))
        (cls.here / "vmlinux").symlink_to(json.loads(run.text("run.json"))["vmlinux"])
        (cls.here / "vmcore").symlink_to(run.path("vmcore"))
        shutil.copy(run.path("vmcore"), cls.here / "crash/host-time/vmcore")  # triage follows no links
        for name, text in FILES.items():
            (cls.here / name).parent.mkdir(parents=True, exist_ok=True)
            (cls.here / name).write_text(text)
        cls.command("kdump-capture keygen dumps.key")
        shutil.copy(cls.here / "dumps.key.pub", cls.here / "etc/kdump/dumps.key.pub")
        cls.command("kdump-analyze report vmcore --format json -o january.json")

    @classmethod
    def command(cls, text: str) -> subprocess.CompletedProcess:
        for there, here in PLACES.items():
            text = text.replace(there, here)
        return subprocess.run(["sh", "-c", text], cwd=cls.here, capture_output=True, text=True, timeout=120,
                              env=os.environ | {"PATH": f"{e2e.BIN}:/usr/bin:/bin"})

    def test_each_is_run(self):
        commands = doc_commands.on_a_dump()
        self.assertGreater(len(commands), 40)
        for command in commands:
            with self.subTest(f"{command.page}:{command.line}: {command.text}"):
                text = command.text
                if "keygen" in text or "decrypt" in text or " save " in text:
                    text += " -f"  # it is shown more than once
                if "decrypt" in text:
                    self.command("kdump-capture save full vmcore.sealed --encrypt-to dumps.key.pub -f")
                    text = text.replace("-o vmcore ", "-o opened ")  # not over the dump of all the others
                done = self.command(text)
                # search says 1 as grep does: it was not found.
                self.assertIn(done.returncode, (0, 1, 3) if command.begins("kdump-analyze search") else (0, 3), done.stdout[-500:] + done.stderr[-1500:])
                self.assertNotIn("error:", done.stderr)
                if "-o " not in text and ">" not in text:
                    self.assertNotEqual("", done.stdout + done.stderr)

    def test_it_can_say_no(self):
        self.assertEqual(1, self.command("kdump-analyze report no-such-dump").returncode)
        self.assertEqual(2, self.command("kdump-analyze lgo vmcore").returncode)
        shown = [command.text for command in doc_commands.shown()]
        self.assertFalse([text for text in shown if "DUMP" in text], "a synopsis")
        for words in [*doc_commands.ELSEWHERE, *doc_commands.ON_A_MACHINE]:
            self.assertTrue([text for text in shown if text.startswith(words)], f"nobody shows {words} any more")


if __name__ == "__main__":
    e2e.main("6.12-a57")
