#!/usr/bin/python3
"""kdump-load as users call it: exit codes, what goes to stdout and stderr, JSON against its schema.

usage: cli_test.py KDUMP_LOAD WRITE_FAKE_MACHINE
"""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))
import schemas  # noqa: E402

PROGRAM, WRITER = sys.argv[1:3]


class Cli(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        subprocess.run([WRITER, self.directory], check=True)
        self.root = self.directory / "root"
        self.inputs = ["--kernel", self.directory / "Image", "--initrd", self.directory / "initrd"]

    def call(self, *arguments, code=0):
        result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def plan(self, *arguments, code=0):
        return self.call("plan", "--sysroot", self.root, *self.inputs, *arguments, code=code)

    def plan_json(self, *arguments, code=0):
        document = json.loads(self.plan("--json", *arguments, code=code).stdout)
        self.assertEqual(schemas.problems(document, "load-plan"), [])
        return document

    def test_plan_text(self):
        text = self.plan().stdout
        for part in ["segments (entry 0x", "elfcorehdr", "kernel_image", "removed: BOOT_IMAGE=/boot/vmlinuz quiet",
                     "set       /chosen/linux,usable-memory-range", "ok       program_headers"]:
            self.assertIn(part, text)

    def test_plan_json(self):
        document = self.plan_json()
        self.assertTrue(document["good"])
        self.assertFalse(document["loaded"])
        # The schema itself must be able to refuse.
        self.assertTrue(schemas.problems(document | {"entry": "0x1"}, "load-plan"))
        self.assertTrue(schemas.problems(document | {"extra": 1}, "load-plan"))

    def x86(self, *arguments, code=0):
        return self.call("plan", "--sysroot", self.directory / "x86-root", "--kernel", self.directory / "bzImage",
                         "--initrd", self.directory / "initrd", *arguments, code=code)

    def test_x86_plan(self):
        text = self.x86().stdout
        for part in ["x86-64, loads by kexec_file_load", "bzImage", "6.12.0-fake", "made by the kernel",
                     "ok       signature", "irqpoll"]:
            self.assertIn(part, text)
        self.assertNotIn("device tree", text)
        document = json.loads(self.x86("--json").stdout)
        self.assertEqual(schemas.problems(document, "load-plan"), [])
        self.assertEqual((document["architecture"], document["syscall"]), ("x86-64", "kexec_file_load"))
        self.assertEqual((document["segments"], document["device_tree"], document["entry"]), ([], None, None))
        self.assertIn("kexec_file_load", document["placement"]["reason"])
        self.assertEqual({s["name"] for s in document["expected_segments"]},
                         {"elfcorehdr", "control_pages", "purgatory", "boot_params", "kernel", "initrd"})

    def test_syscall(self):
        for arguments, call in [(["--syscall", "kexec"], "kexec_load"), (["-c"], "kexec_load"), (["-a"], "kexec_file_load"),
                                (["--syscall", "file"], "kexec_file_load"), (["-s"], "kexec_file_load")]:
            document = json.loads(self.x86("--json", *arguments).stdout)
            self.assertEqual(schemas.problems(document, "load-plan"), [])
            self.assertEqual(document["syscall"], call, arguments)
            self.assertEqual(document["syscall_reason"] == "asked for", arguments != ["-a"])
            self.assertEqual(bool(document["segments"]), call == "kexec_load")
        for wrong in [["-s", "-c"], ["--syscall", "file", "-c"], ["--syscall", "both"]]:
            self.x86(*wrong, code=2)
        # arm64 has both, too; a user's own device tree only by kexec_load.
        self.assertIn("loads by kexec_file_load (asked for)", self.plan("-s").stdout)
        tree = self.root / "sys/firmware/fdt"
        self.assertIn("takes no --dtb", self.plan("-s", "--dtb", tree, code=1).stderr)

    def test_config(self):
        """What the command line says wins over the configuration, and an initramfs stays with its kernel."""
        config = self.directory / "kdumpkit.toml"
        config.write_text(f'[load]\nkernel = "{self.directory}/bzImage"\ninitrd = "{self.directory}/initrd"\n'
                          'append = "kdk_test=1"\nsyscall = "kexec"\ndigest = "off"\n')
        self.assertEqual(f"{config}: [load] is good\n", self.call("check-config", config).stdout)

        def plan(*arguments, code=0):
            return self.call("plan", "--sysroot", self.directory / "x86-root", "--config", config, *arguments, code=code)

        document = json.loads(plan("--json").stdout)
        self.assertEqual(document["syscall"], "kexec_load")
        self.assertEqual(document["digest"]["mode"], "off")
        self.assertIn(" kdk_test=1", document["command_line"]["text"])
        self.assertIn("initrd", {s["name"] for s in document["segments"]})
        document = json.loads(plan("--json", "--syscall", "auto", "--digest", "auto", "--append", "other=1").stdout)
        self.assertEqual(document["syscall"], "kexec_file_load")
        self.assertEqual(document["digest"]["mode"], "auto")
        self.assertNotIn("kdk_test", document["command_line"]["text"])
        document = json.loads(plan("--json", self.directory / "bzImage").stdout)
        self.assertNotIn("initrd", {s["name"] for s in document["segments"]})

        config.write_text("[load]\nappend = 1\n")
        for command in [["check-config", config], ["load", "--config", config]]:
            self.assertIn(f"{config}:2: load.append: must be a string", self.call(*command, code=1).stderr)
        # The default is the running kernel's file.
        config.write_text("")
        self.assertIn("/boot/vmlinuz-6.12.0-fake", plan(code=1).stderr)
        self.assertIn("a kernel is required, or --config FILE", self.call("plan", code=2).stderr)

    def test_digest(self):
        for arguments, mode, on in [([], "auto", True), (["--digest", "on"], "on", True), (["--digest", "off"], "off", False),
                                    (["-i"], "off", False), (["--no-checks"], "off", False)]:
            document = self.plan_json(*arguments)
            self.assertEqual((document["digest"]["mode"], document["digest"]["on"]), (mode, on), arguments)
            names = [s["name"] for s in document["segments"] if not s["in_digest"]]
            self.assertEqual(names, ["purgatory"] if on else [])
            self.assertIn(f"digest    {'on' if on else 'off'} (", self.plan(*arguments).stdout)
        for wrong in [["--digest", "maybe"], ["--digest", "on", "-i"]]:
            self.plan(*wrong, code=2)

    def test_x86_takes_no_device_tree(self):
        result = self.x86("--dtb", self.directory / "initrd", code=2)
        self.assertIn("--dtb: an x86-64 crash kernel takes no device tree", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_kernels_of_the_other_architecture(self):
        root = ["--sysroot", self.directory / "x86-root", "--kernel", self.directory / "Image"]
        self.assertIn("an arm64 Image", self.call("plan", *root, code=1).stderr)
        root = ["--sysroot", self.root, "--kernel", self.directory / "bzImage"]
        self.assertIn("an x86 bzImage", self.call("plan", *root, code=1).stderr)

    def test_options_of_unified_images(self):
        self.assertIn("excludes", self.plan("--uki-initrd", code=2).stderr)  # self.inputs has --initrd
        kernel = ["--sysroot", self.root, "--kernel", self.directory / "Image"]
        for other in (["--command-line", "ro"], ["--reuse-command-line"]):
            self.assertIn("excludes", self.call("plan", *kernel, "--uki-command-line", *other, code=2).stderr)
        for option in ("--uki-initrd", "--uki-command-line"):
            self.assertIn("Image: not a unified kernel image", self.call("plan", *kernel, option, code=1).stderr)
        self.assertIn("excludes", self.reserve("--initrd", "x", "--uki-initrd", code=2).stderr)
        self.assertIn("not a unified kernel image", self.reserve(*kernel[2:], "--uki-initrd", code=3).stdout)

    def test_dry_run_is_plan(self):
        dry = self.call("load", "--dry-run", "--sysroot", self.root, *self.inputs, "--json").stdout
        self.assertEqual(json.loads(dry), self.plan_json())

    def test_load_refuses_another_machines_root(self):
        result = self.call("load", "--sysroot", self.root, *self.inputs, code=1)
        self.assertIn("--dry-run", result.stderr)

    def test_failed_check(self):
        (self.root / "proc/sys/kernel/kexec_load_disabled").write_text("1\n")
        document = self.plan_json(code=1)
        self.assertFalse(document["good"])
        self.assertEqual([c["name"] for c in document["checks"] if c["status"] == "failed"], ["permission"])
        result = self.plan(code=1)
        self.assertIn("FAILED   permission", result.stdout)
        self.assertIn("kexec_load_disabled", result.stderr)

    def test_errors_name_file_and_cause(self):
        cases = [
            (["--kernel", self.directory / "missing"], "missing: No such file"),
            (["--kernel", "/dev/null"], "/dev/null: not a kernel image of any known kind"),
            (["--kernel", self.directory], "Is a directory"),
            (["--kernel", self.directory / "Image", "--initrd", "/dev/null"], "/dev/null: the file is empty"),
            (["--kernel", self.directory / "Image", "--dtb", self.directory / "initrd"], "initrd: the device tree"),
        ]
        for arguments, part in cases:
            result = self.call("plan", "--sysroot", self.root, *arguments, code=1)
            self.assertIn(part, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_verify(self):
        verify = ["verify", "--sysroot", self.root]
        self.assertIn("not armed", self.call(*verify, code=3).stdout)
        (self.root / "sys/kernel/kexec_crash_loaded").write_text("1\n")
        self.assertIn("another program", self.call(*verify, code=3).stdout)
        document = json.loads(self.call(*verify, "--json", code=3).stdout)
        self.assertEqual(schemas.problems(document, "load-verify"), [])
        self.assertEqual((document["state"], document["record"]), ("unknown", None))
        self.assertTrue(schemas.problems(document | {"state": "good"}, "load-verify"))

    def reserve(self, *arguments, code=0):
        return self.call("reserve", "--sysroot", self.root, *arguments, code=code)

    def test_reserve(self):
        text = self.reserve(*self.inputs).stdout
        for part in ["asked     crashkernel=256M (used)", "reserved  main 0x6ac00000-0x7abfffff (256.0 MiB); as asked for",
                     "initrd_unpacked", "enough is reserved", "crashkernel=80M"]:
            self.assertIn(part, text)
        document = json.loads(self.reserve(*self.inputs, "--json").stdout)
        self.assertEqual(schemas.problems(document, "load-reserve"), [])
        needed = document["recommendation"]
        for moment in ["unpacking_bytes", "capturing_bytes"]:
            self.assertEqual(sum(item[moment] for item in needed["items"]), needed[moment])
        self.assertTrue(schemas.problems(document | {"recommendation": needed | {"size_bytes": "1"}}, "load-reserve"))
        # 200 MiB more are more than what is reserved.
        more = json.loads(self.reserve(*self.inputs, "--extra", "200M", "--json", code=3).stdout)["recommendation"]
        self.assertFalse(more["enough"])
        self.assertGreaterEqual(more["size_bytes"], needed["size_bytes"] + (200 << 20))

    def test_reserve_without_a_kernel(self):
        document = json.loads(self.reserve("--json", code=3).stdout)
        self.assertEqual(schemas.problems(document, "load-reserve"), [])
        self.assertIn("--kernel", document["no_recommendation"])

    def test_reserve_shrink(self):
        size = self.root / "sys/kernel/kexec_crash_size"
        self.assertIn("only make that smaller", self.reserve("--shrink", "300M", code=1).stderr)
        self.assertIn("character 4", self.reserve("--shrink", "100X", code=2).stderr)
        (self.root / "sys/kernel/kexec_crash_loaded").write_text("1\n")
        self.assertIn("kdump-load unload", self.reserve("--shrink", "100M", code=1).stderr)
        (self.root / "sys/kernel/kexec_crash_loaded").write_text("0\n")
        self.assertIn("100.0 MiB stay reserved", self.reserve("--shrink", "100M").stdout)
        self.assertEqual(size.read_text().strip(), str(100 << 20))

    def test_reload_usage(self):
        self.assertIn("--settle", self.call("reload", "--settle", "1000", code=2).stderr)
        for option in ["--if-stale", "--settle"]:
            self.assertIn(option, self.call("reload", "--help").stdout)

    def test_hidden_addresses(self):
        (self.root / "proc/iomem").write_text("00000000-00000000 : System RAM\n")
        result = self.plan(code=1)
        self.assertIn("every address is hidden", result.stderr)
        self.assertIn("hint: run as root", result.stderr)

    def test_no_reservation(self):
        text = (self.root / "proc/iomem").read_text()
        (self.root / "proc/iomem").write_text("".join(l for l in text.splitlines(True) if "Crash" not in l))
        self.assertIn("hint: boot with crashkernel=", self.plan(code=1).stderr)

    def test_artefacts(self):
        out = self.directory / "out"
        self.plan("--output-dir", out)
        self.assertEqual((out / "kernel.bin").read_bytes(), (self.directory / "Image").read_bytes())
        self.assertEqual((out / "initrd.bin").read_bytes(), (self.directory / "initrd").read_bytes())
        self.assertEqual((out / "dtb.bin").read_bytes()[:4], b"\xd0\x0d\xfe\xed")
        self.assertEqual((out / "elfcorehdr.bin").read_bytes()[:4], b"\x7fELF")
        self.assertEqual((out / "trampoline.bin").stat().st_size, 40)
        self.assertEqual(schemas.problems(json.loads((out / "plan.json").read_text()), "load-plan"), [])

    def test_command_lines(self):
        line = self.plan_json("--command-line", "a=1", "--append", "b=2", "--no-crash-defaults")["command_line"]
        self.assertEqual((line["text"], line["source"]), ("a=1 b=2", "given"))
        line = self.plan_json("--reuse-command-line", "--append", "b=2")["command_line"]
        self.assertEqual(line["text"], "root=/dev/vda1 ro console=ttyAMA0 b=2 reset_devices nr_cpus=1 panic=10 cma=0 "
                                       "hugetlb_cma=0 acpi_no_memhotplug")
        self.plan("--command-line", "a", "--reuse-command-line", code=2)

    def test_kexec_habits(self):
        def kexec(*rest):
            document = json.loads(self.call("-p", self.directory / "Image", "--sysroot", self.root, "--dry-run",
                                            "--json", *rest).stdout)
            return document["command_line"]

        self.assertEqual(kexec("--append=a=1")["source"], "given")
        self.assertTrue(kexec("--append=a=1")["text"].startswith("a=1 "))
        self.assertEqual(kexec("--reuse-cmdline", "--append=a=1")["source"], "running kernel")
        self.call("-S", "--sysroot", self.root, code=3)

    def test_status(self):
        def status(code):
            document = json.loads(self.call("status", "--sysroot", self.root, "--json", code=code).stdout)
            self.assertEqual(schemas.problems(document, "load-status"), [])
            return document["state"]

        self.assertEqual(status(3), "not_armed")
        (self.root / "sys/kernel/kexec_crash_loaded").write_text("1\n")
        self.assertEqual(status(0), "armed")
        self.assertIn("armed", self.call("status", "--sysroot", self.root).stdout)
        (self.root / "sys/kernel/kexec_crash_loaded").unlink()
        self.assertIn("without kexec", self.call("status", "--sysroot", self.root, code=1).stderr)

    def test_usage(self):
        self.call(code=2)
        self.call("plan", code=2)  # no kernel
        self.call("plan", "--frobnicate", code=2)
        self.call("explode", code=2)
        self.assertIn("Exit codes", self.call("--help").stdout)
        self.assertRegex(self.call("--version").stdout, r"^\d+\.\d+\.\d+")

    def test_full_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, "plan", "--sysroot", self.root, *self.inputs], stdout=full,
                                    stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
