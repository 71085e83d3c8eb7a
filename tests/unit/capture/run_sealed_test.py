#!/usr/bin/python3
"""kdump-capture run with encrypt_to, to every kind of target.
Arguments: see run_case.py.
"""
import subprocess
import unittest

from run_case import HTTP, PAGE, PAGES, PROGRAM, RunTest
from run_server import Server


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
