#!/usr/bin/python3
"""The command line of kdump-capture: exit codes, messages, JSON, signals. Argument: the program.

The input is a small ELF vmcore without VMCOREINFO, so that level 31 cannot be had: the unfiltered copy is exit status 3.
"""
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))
import schemas  # noqa: E402

PROGRAM = sys.argv.pop(1)
PAGE = 4096


def vmcore(pages, machine=183):
    """An ELF core with one PT_LOAD at 1 GiB. Pages are noise, so that they stay large."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 4, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 7, PAGE, 0xffff000000000000, 1 << 30, pages * PAGE, pages * PAGE, 0)
    return header.ljust(PAGE, b"\0") + os.urandom(pages * PAGE)


class Cli(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.here = Path(self.directory.name)
        self.input = self.here / "in"
        self.input.write_bytes(vmcore(64))
        self.output = self.here / "out"

    def run_program(self, *arguments, code, **options):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def valid(self, text, schema):
        document = json.loads(text)
        self.assertEqual(schemas.problems(document, schema), [])
        return document

    def test_unfiltered_copy_is_partial_unless_asked_for(self):
        summary = self.here / "summary.json"
        done = self.run_program("save", self.input, self.output, "--summary", summary, code=3)
        self.assertIn("all are saved", done.stderr)
        document = self.valid(summary.read_text(), "capture-summary")
        self.assertEqual((document["status"], document["filter"]["level_used"]), ("partial", 1))
        self.assertEqual(document["pages"]["written_pages"], 64)
        self.run_program("save", self.input, self.output, "-f", "-d", "0", code=0)
        self.run_program("save", self.input, self.output, "-f", "--exclude", "zero", code=0)

    def test_makedumpfile_letters(self):
        for letter in ("-c", "-l", "-p", "-z"):
            self.run_program("save", letter, "-d", "1", "-f", self.input, self.output, code=0)

    def test_usage_errors(self):
        for arguments in ([], ["save", self.input], ["save", self.input, self.output, "-d", "32"],
                          ["save", self.input, self.output, "--exclude", "pages"],
                          ["save", self.input, self.output, "-d", "1", "--exclude", "zero"],
                          ["save", self.input, self.output, "--compress", "brotli"],
                          ["save", self.input, self.output, "--compress", "zstd:99"],
                          ["save", self.input, self.output, "--compress", "lzo:3"],
                          ["save", self.input, self.output, "-c", "-l"],
                          ["save", self.input, self.output, "--threads", "0"],
                          ["save", self.input, self.output, "-d", "1,32"], ["save", self.input, self.output, "-d", "1,"],
                          ["save", self.input, self.output, "-L", "0"], ["save", self.input, self.output, "-L", "5X"],
                          ["save", "-E", self.input, self.output, "-L", "1M"],
                          ["save", "-F", self.input, "-d", "1,31"],
                          ["save", self.input, self.output, "--progress", "loud"], ["frobnicate"], ["info"]):
            self.run_program(*arguments, code=2)
            self.assertFalse(self.output.exists())

    def test_bad_inputs_leave_no_output(self):
        junk, empty = self.here / "junk", self.here / "empty"
        junk.write_bytes(os.urandom(100000))
        empty.touch()
        for bad in (junk, empty, self.here, self.here / "absent"):
            done = self.run_program("save", bad, self.output, code=1)
            self.assertIn(str(bad), done.stderr)
            self.assertFalse(self.output.exists())
            self.run_program("info", bad, code=1)
            self.run_program("log", bad, code=1)

    def test_existing_output(self):
        self.output.write_text("precious")
        done = self.run_program("save", self.input, self.output, "-d", "0", code=1)
        self.assertIn("hint: -f", done.stderr)
        self.assertEqual(self.output.read_text(), "precious")

    def test_info(self):
        document = self.valid(self.run_program("info", self.input, "--json", code=0).stdout, "capture-info")
        self.assertEqual((document["format"], document["ram_pages"], document["machine"]), ("elf", 64, "aarch64"))
        self.run_program("save", "-d", "0", self.input, self.output, code=0)
        document = self.valid(self.run_program("info", self.output, "--json", code=0).stdout, "capture-info")
        self.assertEqual((document["format"], document["dump_level"]), ("kdump-compressed", 0))
        self.assertIn("kdump-compressed", self.run_program("info", self.output, code=0).stdout)

    def test_log_without_vmcoreinfo_says_why(self):
        self.assertIn("VMCOREINFO", self.run_program("log", self.input, code=1).stderr)

    def test_full_standard_output_is_a_failure(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "info", self.input], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)

    def test_disk_full(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))

        self.input.write_bytes(vmcore(1024))
        summary = self.here / "summary.json"
        done = self.run_program("save", "-d", "0", "--threads", "1", self.input, self.output, "--summary", summary, code=3,
                                preexec_fn=limit)
        self.assertIn("out.incomplete", done.stderr)
        self.assertFalse(self.output.exists())
        self.assertEqual(self.valid(summary.read_text(), "capture-summary")["status"], "partial")
        document = self.valid(self.run_program("info", self.here / "out.incomplete", "--json", code=0).stdout, "capture-info")
        self.assertTrue(document["incomplete"])

    def test_termination_leaves_no_file_that_looks_whole(self):
        self.input.write_bytes(vmcore(40000))
        process = subprocess.Popen([PROGRAM, "save", "-d", "0", "--compress", "zlib:9", "--threads", "1", str(self.input),
                                    str(self.output)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not any(file.name.startswith("out.partial") and file.stat().st_size > 4 << 20 for file in self.here.iterdir()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, stderr)
        self.assertIn("interrupted", stderr)
        self.assertFalse(self.output.exists())
        self.assertTrue((self.here / "out.incomplete").exists())
        self.assertEqual([file.name for file in self.here.iterdir() if "partial" in file.name], [])

    def test_stream_to_a_pipe_and_back(self):
        self.run_program("save", "-d", "0", "--threads", "1", self.input, self.output, code=0)
        summary = self.here / "summary.json"
        stream = subprocess.run([PROGRAM, "save", "-F", "-d", "0", "--num-threads", "0", "--summary", str(summary), str(self.input)],
                                capture_output=True, timeout=60)
        self.assertEqual(stream.returncode, 0, stream.stderr)
        document = self.valid(summary.read_text(), "capture-summary")
        self.assertEqual((document["output"]["file"], document["output"]["flattened"]), ("-", True))
        self.assertEqual(document["output"]["size_bytes"], len(stream.stdout))
        joined = self.here / "joined"
        done = subprocess.run([PROGRAM, "reassemble", "-", str(joined)], input=stream.stdout, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(joined.read_bytes(), self.output.read_bytes())
        cut = subprocess.run([PROGRAM, "reassemble", "-f", "-", str(joined)], input=stream.stdout[:-1000], capture_output=True,
                             timeout=60)
        self.assertEqual(cut.returncode, 3, cut.stderr)

    def test_closed_pipe(self):
        self.input.write_bytes(vmcore(4096))
        summary = self.here / "summary.json"
        process = subprocess.Popen([PROGRAM, "save", "-F", "-d", "0", "--summary", str(summary), str(self.input)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(len(process.stdout.read(6 << 20)), 6 << 20)
        process.stdout.close()
        stderr = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(60), 3, stderr)
        self.assertIn(b"Broken pipe", stderr)
        self.assertEqual(self.valid(summary.read_text(), "capture-summary")["status"], "partial")

    def test_split_names_and_reassembling(self):
        self.run_program("save", "-d", "0", "--split", "2", self.input, self.output, code=0)
        parts = [self.here / "out.1", self.here / "out.2"]
        self.assertFalse(self.output.exists())
        self.run_program("save", "-d", "0", "--split", "2", self.input, self.here / "a", self.here / "b", code=0)
        self.run_program("save", "--reassemble", *parts, self.here / "whole", code=0)
        # Readers compare the headers byte by byte, and count descriptors by whole words of the bitmap.
        heads = [part.read_bytes() for part in parts]
        self.assertEqual(heads[0][:464], heads[1][:464])
        ranges = [struct.unpack_from("<QQ", head, PAGE + 80) for head in heads]
        self.assertEqual([begin % 64 for begin, _ in ranges], [0, 0])
        self.assertEqual((ranges[0][0], ranges[0][1]), (0, ranges[1][0]))
        self.assertEqual(ranges[1][1], struct.unpack_from("<Q", heads[0], PAGE + 96)[0])
        document = json.loads(self.run_program("info", self.here / "whole", "--json", code=0).stdout)
        self.assertFalse(document["incomplete"])
        stream = subprocess.run([PROGRAM, "save", "-F", "-d", "0", str(self.input)], capture_output=True, timeout=60).stdout
        done = subprocess.run([PROGRAM, "save", "-R", str(self.here / "rearranged")], input=stream, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.here / "rearranged").exists())

    def test_dry_run_and_stats(self):
        done = self.run_program("save", "-d", "0", "--dry-run", "--show-stats", self.input, self.output, code=0)
        self.assertIn("would write", done.stdout)
        self.assertIn("left out", done.stdout)
        self.assertFalse(self.output.exists())

    def test_estimate(self):
        done = self.run_program("estimate", self.input, "-d", "0,31", "--json", code=0)
        document = self.valid(done.stdout, "capture-estimate")
        self.assertEqual([level["level"] for level in document["levels"]], [0, 31])
        self.run_program("save", "-d", "0", "--compress", "none", self.input, self.output, code=0)
        sizes = {codec["codec"]: codec["dump_bytes"] for codec in document["levels"][0]["codecs"]}
        self.assertAlmostEqual(sizes["none"], self.output.stat().st_size, delta=PAGE)
        self.assertIn("level", self.run_program("save", "--mem-usage", self.input, code=0).stdout)
        config = self.here / "config.toml"
        # Devices are below /dev; a file there stands in for one.
        disk = tempfile.NamedTemporaryFile(dir="/dev/shm")
        self.addCleanup(disk.close)
        disk.write(bytes(PAGE))
        disk.flush()
        config.write_text(f'[[target]]\nkind = "raw"\ndevice = "{disk.name}"\n')
        self.assertIn("DOES NOT FIT", self.run_program("estimate", self.input, "--config", config, code=3).stdout)
        self.run_program("estimate", self.here / "missing", code=1)

    def test_formats_that_do_not_go_together(self):
        for options in (["-F", "-E"], ["-E", "-c"], ["-E", "--compress", "zstd"], ["-F", "--split", "2"], ["-E", "--split", "2"],
                        ["--split", "3", "x"], ["--split", "1"], ["--dump-dmesg", "-E"], ["--dump-dmesg", "--reassemble"],
                        ["--format", "elf", "-F"], ["--threads", "2", "--num-threads", "2"], ["--message-level", "99"]):
            self.run_program("save", *options, self.input, self.output, code=2)
        self.assertIn("-F", self.run_program("save", "-d", "0", self.input, "-", code=1).stderr)

    def test_sealed_and_opened_again(self):
        key, other, summary, log = (self.here / name for name in ("key", "other", "summary", "log"))
        self.run_program("keygen", key, code=0)
        self.run_program("keygen", other, code=0)
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        self.run_program("keygen", key, code=1)
        self.input.write_bytes(vmcore(1024))
        self.run_program("save", self.input, self.output, "-d", "0", "--encrypt-to", f"{key}.pub", "--summary", summary,
                         "--log", log, code=3)  # there is no log
        sealed = self.output.read_bytes()
        page = self.input.read_bytes()[PAGE:2 * PAGE]
        self.assertNotIn(page[:32], sealed)
        self.assertNotIn(b"capture-summary", summary.read_bytes())
        opened = self.here / "opened"
        self.run_program("decrypt", summary, "-o", opened, "--key", key, code=0)
        self.assertTrue(self.valid(opened.read_text(), "capture-summary")["output"]["sealed"])
        self.assertIn("already exists", self.run_program("decrypt", self.output, "-o", opened, "--key", key, code=1).stderr)
        self.run_program("decrypt", self.output, "-o", opened, "--key", key, "-f", code=0)
        self.assertIn(page, opened.read_bytes())
        self.assertFalse(json.loads(self.run_program("info", opened, "--json", code=0).stdout)["incomplete"])
        with open(self.output, "rb") as file:  # and from a pipe
            self.run_program("decrypt", "-", "-o", opened, "--key", key, "-f", code=0, stdin=file)
        absent = self.here / "absent"
        self.assertIn("sealed to another key",
                      self.run_program("decrypt", self.output, "-o", absent, "--key", other, code=1).stderr)
        self.assertIn("is a public one", self.run_program("decrypt", self.output, "-o", absent, "--key", f"{key}.pub", code=1).stderr)
        self.assertIn("is no sealed file", self.run_program("decrypt", self.input, "-o", absent, "--key", key, code=1).stderr)
        # A file that was cut, or changed, gives an INCOMPLETE dump of what comes before.
        chunk, cut = (1 << 20) + 17, self.here / "cut"
        for boundary in range(168 + chunk, len(sealed), chunk):
            for size in (boundary - 1, boundary, boundary + 1):
                cut.write_bytes(sealed[:size])
                nothing = size < 168 + chunk  # of the first chunk
                said = self.run_program("decrypt", cut, "-o", opened, "--key", key, "-f", code=1 if nothing else 3).stderr
                self.assertIn("cut off", said)
                if not nothing:
                    self.assertTrue(json.loads(self.run_program("info", opened, "--json", code=0).stdout)["incomplete"])
        cut.write_bytes(sealed[:-40] + b"\0" + sealed[-39:])
        self.assertIn("changed", self.run_program("decrypt", cut, "-o", opened, "--key", key, "-f", code=3).stderr)
        cut.write_bytes(sealed[:200])
        self.run_program("decrypt", cut, "-o", absent, "--key", key, code=1)
        self.assertFalse(absent.exists())
        for arguments in (["-E"], ["--split", "2"], ["--format", "kdump"]):
            self.run_program("save", self.input, absent, "--encrypt-to", f"{key}.pub", *arguments, code=2)

    def test_progress_as_json_lines(self):
        done = self.run_program("save", "-d", "0", "--progress", "json", self.input, self.output, code=0)
        events = [json.loads(line) for line in done.stderr.splitlines()]
        self.assertIn("dump", [event["stage"] for event in events if event["event"] == "stage"])
        self.assertEqual(events[-1]["event"], "stage")
        self.assertEqual([e["pages_done"] for e in events if e["event"] == "progress"][-1], 64)


if __name__ == "__main__":
    unittest.main()
