#!/usr/bin/python3
"""The command line contract of kdump-analyze: exit codes, messages, -o.   cli_test.py BIN_DIR MAKE_DUMP"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("support", "golden/report")]
import html_page  # noqa: E402  (found through the path above)
import schemas  # noqa: E402

program = make_dump = None


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.dump = cls.path / "dump"
        subprocess.run([make_dump, "text-symbols", cls.dump], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_program(self, *arguments, expect, **options):
        done = subprocess.run([program, *map(str, arguments)], stdout=options.pop("stdout", subprocess.PIPE),
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(expect, done.returncode, done.stderr)
        return done

    def test_usage_errors(self):
        for arguments in ([], ["frobnicate"], ["report"], ["report", self.dump, "--format", "yaml"], ["sym", self.dump],
                          ["log", self.dump, "--vmlinux", "x"]):
            done = self.run_program(*arguments, expect=2)
            self.assertEqual("", done.stdout)
            self.assertNotEqual("", done.stderr)

    def test_help_and_version(self):
        for arguments in (["--help"], ["--version"], ["report", "--help"], ["sym", "--help"]):
            self.assertNotEqual("", self.run_program(*arguments, expect=0).stdout)

    def test_what_is_no_dump_is_named(self):
        empty, text = self.path / "empty", self.path / "text"
        empty.write_bytes(b"")
        text.write_text("hello\n")
        for bad in (self.path / "missing", self.path, empty, text):
            for command in ("report", "log", "bt", "info"):
                done = self.run_program(command, bad, expect=1)
                self.assertEqual("", done.stdout)
                self.assertIn(f"error: {bad}", done.stderr)

    def test_symbols_found_in_part(self):
        self.run_program("sym", self.dump, "panic", "--no-debug-info", expect=0)
        done = self.run_program("sym", self.dump, "panic", "no_such_symbol", "--no-debug-info", expect=3)
        self.assertIn("no_such_symbol: not found", done.stdout)
        self.run_program("sym", self.dump, "no_such_symbol", "--no-debug-info", expect=1)

    def test_a_wrong_vmlinux_is_refused_and_the_rest_goes_on(self):
        for wrong in (program, self.path / "missing", self.path):
            done = self.run_program("bt", self.dump, "--vmlinux", wrong, expect=3)
            self.assertIn(str(wrong), done.stderr)
            self.assertIn("sysrq_handle_crash", done.stdout)
            done = self.run_program("report", self.dump, "--vmlinux", wrong, expect=3)
            self.assertIn("REFUSED  the vmlinux given", done.stdout)
            self.assertNotIn("DAMAGE", done.stdout)

    def test_options_do_not_swallow_the_dump(self):
        self.run_program("bt", "--debug-dir", self.path, self.dump, expect=0)

    def test_output_file_is_whole_or_absent(self):
        out = self.path / "report.json"
        self.assertEqual("", self.run_program("report", self.dump, "--json", "-o", out, expect=0).stdout)
        self.assertTrue(out.read_text().startswith("{") and out.read_text().endswith("}\n"))
        self.run_program("report", self.dump, "-o", self.path / "nowhere" / "report", expect=1)
        self.run_program("report", self.path / "missing", "-o", self.path / "none", expect=1)
        self.assertFalse((self.path / "none").exists())
        self.assertEqual([], [name for name in os.listdir(self.path) if "partial" in name])

    def test_a_pipe_as_output_is_written_to_and_stays(self):
        pipe = self.path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.run_program("info", self.dump, "--json", "-o", pipe, expect=0)
        self.assertEqual("kdumpkit/analyze-info", json.loads(os.read(reader, 65536))["schema"]["id"])
        os.close(reader)
        self.assertTrue(pipe.is_fifo())

    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.run_program("report", self.dump, stdout=full, expect=1)
        self.assertIn("standard output", done.stderr)

    def test_triage_groups_dumps_and_reports(self):
        folder = self.path / "crashes"
        (folder / "deep" / "er").mkdir(parents=True)
        for name, case in {"a": "sysrq", "deep/b": "sysrq-x86-64", "deep/er/c": "oops-x86-64"}.items():
            subprocess.run([make_dump, case, folder / name], check=True)
        self.run_program("report", folder / "a", "--json", "-o", folder / "saved.json", expect=0)
        self.run_program("report", folder / "a", "--json", "-o", self.path / "elsewhere.json", expect=0)
        (folder / "summary.json").write_text('{"schema": {"id": "kdumpkit/capture-summary"}}')
        (folder / "dmesg.txt").write_text("[ 0.0] hello")
        (folder / "loop").symlink_to(folder)

        def triage(*paths, expect):
            done = self.run_program("triage", *paths, "--json", "--no-debug-info", "-j", "3", expect=expect)
            document = json.loads(done.stdout)
            self.assertEqual([], schemas.problems(document, "analyze-triage"))
            return document

        found = triage(folder, expect=0)
        self.assertEqual((4, 3), (found["files"], found["crashes"]))
        self.assertEqual([("sysrq_crash", 2), ("null_deref", 1)], [(g["class"], g["count"]) for g in found["groups"]])
        self.assertEqual(["aarch64", "x86_64"], sorted(a.replace("arm64", "aarch64") for a in found["groups"][0]["architectures"]))
        files = [sorted(c["files"]) for g in found["groups"] for c in g["crashes"]]
        self.assertIn(sorted([str(folder / "a"), str(folder / "saved.json")]), files)
        # a report alone stands for its crash
        alone = triage(self.path / "elsewhere.json", expect=0)
        self.assertEqual(found["groups"][0]["family"], alone["groups"][0]["family"])
        self.assertEqual("report", alone["groups"][0]["crashes"][0]["source"])
        # broken ones are named, the rest is there
        (folder / "broken").write_bytes(b"KDUMP   " + bytes(4096))
        (folder / "broken.json").write_text('{"schema": {"id": "kdumpkit/report", "version": "1.2.0"}')
        (folder / "future.json").write_text('{"schema": {"id": "kdumpkit/report", "version": "2.0.0"}}')
        broken = triage(folder, self.path / "missing", expect=3)
        self.assertEqual((8, 3), (broken["files"], broken["crashes"]))
        self.assertEqual({str(folder / "broken"), str(folder / "broken.json"), str(folder / "future.json"),
                          str(self.path / "missing")}, {u["file"] for u in broken["unreadable"]})
        self.run_program("triage", self.path / "missing", expect=1)
        text = self.run_program("triage", folder, "--no-debug-info", expect=3).stdout
        self.assertIn("2 x sysrq_crash", text)
        page = self.run_program("triage", folder, "--no-debug-info", "--format", "html", expect=3).stdout
        self.assertEqual([], html_page.problems(page))
        self.assertIn("sysrq_handle_crash", html_page.text_of(page, "table"))

    def test_diff_of_dumps_and_reports(self):
        folder = self.path / "diff"
        folder.mkdir()
        for name, case in {"a": "sysrq", "b": "sysrq-x86-64", "c": "oops-x86-64"}.items():
            subprocess.run([make_dump, case, folder / name], check=True)
        self.run_program("report", folder / "a", "--json", "--no-debug-info", "-o", folder / "a.json", expect=0)

        def diff(one, two):
            done = self.run_program("diff", folder / one, folder / two, "--json", "--no-debug-info", expect=0)
            document = json.loads(done.stdout)
            self.assertEqual([], schemas.problems(document, "analyze-diff"))
            return document["same_bug"], {(c["section"], c["what"]): (c["a"], c["b"]) for c in document["changes"]}

        self.assertEqual(("exact", {}), diff("a", "a.json"))
        same, changes = diff("a.json", "b")
        self.assertEqual("exact", same)  # the scenes have one build-id, whatever their architecture
        self.assertEqual(("aarch64", "x86_64"), changes["kernel", "machine"])
        self.assertIn((None, "entry_SYSCALL_64_after_hwframe"), [v for k, v in changes.items() if k[0] == "trace"])
        same, changes = diff("b", "c")
        self.assertEqual("no", same)
        self.assertEqual(("sysrq_crash", "null_deref"), changes["crash", "class"])
        text = self.run_program("diff", folder / "b", folder / "c", "--no-debug-info", expect=0).stdout
        self.assertIn("- class sysrq_crash\n+ class null_deref\n", text)
        # What one report could not tell is not gone.
        report = json.loads((folder / "a.json").read_text())
        report["summary"]["function"] = report["identity"]["release"] = None
        report["identity"]["taint"]["letters"] = ""  # known to be none
        (folder / "less.json").write_text(json.dumps(report))
        text = self.run_program("diff", folder / "a.json", folder / "less.json", expect=0).stdout
        self.assertIn("- function sysrq_handle_crash\n+ function unknown\n", text)
        self.assertIn("+ release unknown\n", text)
        self.assertNotIn("taint unknown", text)
        changes = json.loads(self.run_program("diff", folder / "less.json", folder / "a.json", "--json", expect=0).stdout)["changes"]
        self.assertEqual({"function": ["a"], "release": ["a"], "taint": []}, {c["what"]: c["unknown"] for c in changes})
        # What is no report, or hostile: named, or taken for unknown.
        (folder / "none.json").write_text('{"schema": {"id": "kdumpkit/report", "version": "2.0.0"}}')
        self.assertIn("none.json", self.run_program("diff", folder / "a", folder / "none.json", expect=1).stderr)
        (folder / "odd.json").write_text(json.dumps({
            "schema": {"id": "kdumpkit/report", "version": "1.0.0"}, "summary": [], "memory": 7, "findings": {"name": 1},
            "tasks": {"states": {"\x1b[2J": [], "R": -1}}, "modules": {"items": [1, {"name": "\x07"}]},
            "crash": {"cpus": [{"crashed": True, "backtrace": {"frames": [None, {"symbol": "\x1b"}]}}]}}))
        self.assertEqual("unknown", diff("a", "odd.json")[0])
        self.assertNotIn("\x1b", self.run_program("diff", folder / "odd.json", folder / "a", expect=0).stdout)

    def test_json_says_what_format_json_says(self):
        one = self.run_program("report", self.dump, "--json", "--no-debug-info", expect=0).stdout.split('"timing"')[0]
        two = self.run_program("report", self.dump, "--format", "json", "--no-debug-info", expect=0).stdout.split('"timing"')[0]
        self.assertEqual(one, two)


if __name__ == "__main__":
    program, make_dump = Path(sys.argv[1]) / "kdump-analyze", Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
