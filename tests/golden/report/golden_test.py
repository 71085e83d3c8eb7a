#!/usr/bin/python3
"""Reports of synthetic dumps against the expected ones beside this file.

  golden_test.py BIN_DIR MAKE_DUMP [CASE]

<case>/expected.json and <case>/expected.txt hold what `kdump-analyze report` prints, times and paths normalised.
KDK_GOLDEN_REWRITE=1 writes them anew: read the diff before committing it.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
import schemas  # noqa: E402  (found through the path above)
sys.path.insert(0, str(HERE))
import html_page  # noqa: E402

# case -> exit code of `report`: 3 where the input is damaged, incomplete or cannot be interpreted
CASES = {"sysrq": 0, "oops-16k": 0, "sysrq-x86-64": 0, "oops-x86-64": 0, "text-symbols": 0, "hostile": 0,
         "no-vmcoreinfo": 3, "broken-list": 3, "excluded-page": 0, "truncated": 3}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
bin_dir = make_dump = None


def run(*arguments):
    return subprocess.run([str(a) for a in arguments], capture_output=True, timeout=120, check=False)


class Golden(unittest.TestCase):
    maxDiff = None

    def analyze(self, *arguments, expect=0):
        done = run(bin_dir / "kdump-analyze", *arguments)
        self.assertEqual(expect, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout.decode("utf-8")

    def valid(self, text):
        document = json.loads(text)
        self.assertEqual([], schemas.problems(document, document["schema"]["id"].removeprefix("kdumpkit/")))
        return document

    def compare(self, case, name, text):
        path = HERE / case / name
        if os.environ.get("KDK_GOLDEN_REWRITE") == "1":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.assertEqual(path.read_text(), text)

    def check(self, case):
        with tempfile.TemporaryDirectory() as folder:
            dump = Path(folder) / "dump"
            made = run(make_dump, case, dump)
            self.assertEqual(0, made.returncode, made.stderr)
            options = [dump, "--no-debug-info"]
            report = self.valid(self.analyze("report", *options, "--format", "json", expect=CASES[case]))
            report["input"]["files"] = ["DUMP"]
            report["timing"] = [phase["phase"] for phase in report["timing"]]
            report["tool"]["version"] = "VERSION"
            self.compare(case, "expected.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")

            text = self.analyze("report", *options, expect=CASES[case])
            self.assertIsNone(CONTROL.search(text.replace("\n", "")), "control bytes would reach the terminal")
            text = re.sub(r"\nTook .*\n$", "", text.replace(str(dump), "DUMP"))
            self.compare(case, "expected.txt", re.sub(r"^kdump-analyze \S+:", "kdump-analyze VERSION:", text))

            page = self.analyze("report", *options, "--format", "html", expect=CASES[case])
            self.assertEqual([], html_page.problems(page))
            self.assertIsNone(CONTROL.search(page.replace("\n", "")))
            if report["crash"] is not None:
                self.assertIn(report["crash"]["panic_message"] or "no panic message", html_page.text_of(page, "h1"))
            shown = html_page.text_of(page, "body")
            for record in report["log"]["tail"] if report["log"] else []:
                self.assertIn(record["text"].split("\n")[0], shown)

            # The other commands see the same dump; their JSON keeps to its schema whatever the damage.
            known = report["crash"] is not None and report["crash"]["cpus"] != []
            interpretable = report["input"]["vmcoreinfo"]
            file_code = 3 if case in ("no-vmcoreinfo", "truncated") else 0  # a broken task list does not concern them
            self.valid(self.analyze("bt", *options, "--json", expect=file_code if known else 1))
            self.valid(self.analyze("doctor", *options, "--json", expect=file_code))
            self.valid(self.analyze("info", dump, "--json", expect=file_code))
            code = 3 if case == "truncated" else 0
            log = self.valid(self.analyze("log", dump, "--json", expect=code if interpretable else 1))
            self.assertEqual(interpretable, log["records"] != [])
            tasks = 0 if case != "broken-list" else 3
            self.valid(self.analyze("ps", *options, "--json", expect=max(code, tasks) if interpretable else 1))
            self.valid(self.analyze("ps", *options, "--json", "--tree", expect=max(code, tasks) if interpretable else 1))
            self.valid(self.analyze("bt", *options, "--json", "--all-tasks", "--group", expect=max(code, tasks) if interpretable else 1))
            self.valid(self.analyze("locks", *options, "--json", expect=1))  # the scene has no layouts of locks
            # The scene has no layouts for most of these: an answer or an error that says why, never anything else.
            for words in (["runq"], ["timer"], ["workqueue"], ["wait", "init_task"], ["irq"], ["dev"], ["files", "1"], ["mount"],
                          ["net", "-s"], ["sys"], ["config"]):
                done = run(bin_dir / "kdump-analyze", words[0], dump, *words[1:], "--no-debug-info", "--json")
                self.assertIn(done.returncode, (0, 1, 3), (words, done.stderr))
                if done.stdout:
                    self.valid(done.stdout.decode("utf-8"))
                else:
                    self.assertEqual(1, done.returncode, words)
                    self.assertIn(b"error: ", done.stderr)
            listed = interpretable and case != "text-symbols"
            self.valid(self.analyze("mod", *options, "--json", expect=code if listed else 1))
            found = self.valid(self.analyze("sym", *options, "--json", "panic", expect=code if interpretable else 1))
            self.assertEqual(interpretable, bool(found["answers"]) and found["answers"][0]["matches"] != [])


for name in CASES:
    setattr(Golden, "test_" + name.replace("-", "_"), lambda self, case=name: self.check(case))

if __name__ == "__main__":
    bin_dir, make_dump = Path(sys.argv[1]), Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1] + ["Golden.test_" + c.replace("-", "_") for c in sys.argv[3:]])
