#!/usr/bin/python3
"""check-image forecasts what the kernel does with an image: for every image of signed_images.py, in every state that
guest/signatures.sh puts the machine into, the kernel is asked, too. Then what kdump-load makes of it: a refused image
leaves the one before armed, and a signed one saves a crash under lockdown.

usage: test_signatures.py signatures|signatures-secure-boot
"""
import errno
import json
import re
import sys

import e2e

CONFIG = sys.argv[1]
# What cannot be known before: image -> a part of the reason.
UNKNOWN = {"big-endian": "only on CPUs that can run both byte orders",
           "big-endian-signed": "only on CPUs that can run both byte orders",
           "ima-version-3": "kernels may know version 2 only"}
# What the kernel takes, by state; it refuses all the rest. A copy in memory has lost its security.ima and is root's.
ACCEPTED = {
    "signatures": {
        "none": None,  # whatever is an Image
        # QEMU's CPU runs both byte orders.
        "lockdown": {"kernel-signed", "signed", "both", "chain", "big-endian-signed", "gzip", "zboot-inner", "ima-and-signed"},
        # IMA's rules stand in for the PE signature.
        "ima-signature": {"ima", "ima-and-signed", "appended-gzip"},
        "ima-digest": {"ima", "ima-and-signed", "ima-digest", "appended-and-digest", "appended-gzip"},
        "ima-appended": {"ima", "ima-and-signed", "appended", "appended-with-certificate", "appended-and-digest",
                         "appended-and-unknown", "appended-gzip"},
    },
    # Both the PE signature and IMA's. (Debian's kernels know Debian's key only where firmware or shim has it.)
    "signatures-secure-boot": {
        "secure-boot": {"kernel-signed", "signed", "both", "chain", "elliptic", "gzip", "ima-and-signed",
                        "ima-unknown-and-signed"},
        "secure-boot-ima": {"ima-and-signed"},
    },
}[CONFIG]


class Forecast(e2e.TestCase):
    def rounds(self):
        """(state, image, the forecast, what the kernel said) of every cell."""
        for state in ACCEPTED:
            directory = self.guest_run.path(state)
            documents = sorted(set(directory.glob("*.json")) - {directory / "no-image.json"})
            self.assertGreater(len(documents), 15, f"{state}: the guest did not get that far")
            for path in documents:
                text = path.read_text()
                self.assertTrue(text, f"{state}, {path.stem}: " + path.with_suffix(".stderr").read_text())
                yield state, path.stem, json.loads(text), path.with_suffix(".kernel").read_text().strip()

    def test_is_what_the_kernel_does(self):
        seen = set()
        for state, image, document, kernel in self.rounds():
            forecast = document["forecast"]["kexec_file_load"]
            seen.add((forecast["verdict"], kernel))
            with self.subTest(f"{state}: {image}", kernel=kernel, reasons=forecast["reasons"]):
                if forecast["verdict"] == "unknown":
                    self.assertIn(image, UNKNOWN)
                    self.assertIn(UNKNOWN[image], " ".join(forecast["reasons"]))
                else:
                    self.assertEqual(forecast["errno"] or "accepted", kernel)
        self.assertIn(("accepted", "accepted"), seen)
        self.assertIn(("refused", "ENODATA" if "secure-boot" in ACCEPTED else "EPERM"), seen)
        self.assertIn(("refused", "EACCES"), seen)

    def test_the_kernel_decides_as_meant(self):
        """So that a kernel that takes or refuses everything is no success."""
        for state, expected in ACCEPTED.items():
            accepted = {image for at, image, _, kernel in self.rounds() if at == state and kernel == "accepted"}
            refused = {image for at, image, _, kernel in self.rounds() if at == state and kernel != "accepted"}
            with self.subTest(state):
                if expected is None:
                    self.assertEqual(set(), refused)
                else:
                    self.assertEqual(expected, accepted)
                    self.assertTrue(refused)

    def test_what_is_no_image(self):
        for state in ACCEPTED:
            self.assertNotEqual("accepted", self.guest_run.text(f"{state}/no-image.kernel").strip())
            self.assertEqual("1", self.guest_run.text(f"{state}/no-image.rc").strip())
            self.assertIn("not a kernel image", self.guest_run.text(f"{state}/no-image.stderr"))

    def test_documents_and_exit_codes(self):
        for state, image, document, _ in self.rounds():
            with self.subTest(f"{state}: {image}"):
                self.valid_json(json.dumps(document))
                code = 0 if document["verdict"] == "accepted" else 3
                self.assertEqual(code, int(self.guest_run.text(f"{state}/{image}.rc")))

    def test_errors_of_signatures(self):
        """Where the kernel tolerates a bad signature its log has the error, else the call returned it."""
        compared = set()
        for state, image, document, _ in self.rounds():
            failed = re.search(r"kernel signature verification failed \(-(\d+)\)", self.guest_run.text(f"{state}/{image}.dmesg"))
            deciding = [s for s in document["signatures"] if s["kind"] == "authenticode" and s["decides"]]
            if failed and deciding:
                with self.subTest(f"{state}: {image}"):
                    self.assertEqual(errno.errorcode[int(failed[1])], deciding[0]["errno"], deciding[0]["problem"])
                compared.add(deciding[0]["errno"])
            elif failed:
                self.assertIn(int(failed[1]), (errno.ENODATA, errno.ELIBBAD))
        self.assertLessEqual({"ENOKEY", "EKEYREJECTED"}, compared)

    def test_kexec_load(self):
        for state in ACCEPTED:
            forecast = json.loads(self.guest_run.text(f"{state}/signed.json"))["forecast"]["kexec_load"]
            with self.subTest(state, forecast=forecast):
                self.assertEqual(forecast["errno"] or forecast["verdict"], self.guest_run.text(f"{state}/kexec_load").strip())


class Load(e2e.TestCase):
    def names(self, prefix: str) -> list[str]:
        return sorted(path.stem for path in self.guest_run.directory.glob(f"{prefix}-*.rc") if not path.stem.endswith("-status"))

    def assert_armed(self, step: str) -> None:
        self.assertEqual("1", self.guest_run.text(step + ".loaded").strip())
        self.assert_exit(step + "-status", 0)

    def test_signed_images_are_loaded(self):
        names = self.names("load")
        self.assertLessEqual({"load-signed", "load-gzip"}, set(names))
        for step in names:
            with self.subTest(step):
                self.assert_exit(step, 0)
                self.assert_armed(step)

    def test_refused_ones_leave_the_one_before_armed(self):
        names = self.names("refused")
        self.assertLessEqual({"refused-plain", "refused-unknown", "refused-tampered", "refused-kexec"}, set(names))
        for step in names:
            with self.subTest(step):
                self.assert_exit(step, 1)
                said = self.guest_run.text(step + ".stderr")
                self.assertRegex(said, "signature|signed|signer|lockdown|IMA")
                self.assertRegex(said, "check-image|use a signed kernel|--syscall|evmctl")
                self.assert_armed(step)

    def test_lockdown_chooses_the_system_call(self):
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        self.assertEqual("kexec_file_load", plan["syscall"])

    def test_saves_the_crash(self):
        """By kexec_file_load, under lockdown."""
        self.assert_exit("final", 0)
        self.assertIn("[integrity]", self.guest_run.text(f"{list(ACCEPTED)[-1]}/lockdown"))
        self.assert_exit("save", 0)
        self.assertIn("sysrq triggered crash", self.guest_run.text("log.stdout"))
        report = self.run_json("kdump-analyze", "report", self.guest_run.path("vmcore"), "--no-debug-info", "--format", "json")
        self.assertEqual("sysrq_crash", report["crash"]["class"]["name"])


if __name__ == "__main__":
    e2e.main(CONFIG)
