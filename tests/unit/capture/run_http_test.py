#!/usr/bin/python3
"""kdump-capture run to a web server: parts, failures, S3's signatures.
Arguments: see run_case.py.
"""
import hashlib
import hmac
import json
import shutil
import socket
import unittest
import urllib.parse

from run_case import HTTP, RunTest
from run_server import Server


@unittest.skipUnless(HTTP, "built without libcurl")
class Web(RunTest):
    def target(self, server, extra=""):
        return f'[[target]]\nkind = "http"\nurl = "{server.url}"\npart_size = "256K"\n{extra}'

    def check_server(self, server):
        """What the server has is a whole dump; returns the number of parts."""
        names = {}
        for path, content in server.files.items():
            names[path.rsplit("/", 1)[1]] = content
        for line in names["SHA256SUMS"].decode().splitlines():
            value, name = line.split("  ")
            self.assertEqual(hashlib.sha256(names[name]).hexdigest(), value)
        parts = sorted(name for name in names if name.startswith("vmcore.flat."))
        stream = self.here / "stream"
        stream.write_bytes(b"".join(names[name] for name in parts))
        self.check_stream(stream)
        self.assertEqual(json.loads(names["summary.json"])["status"], "partial")
        self.assertIn("dmesg.txt", names)
        return len(parts)

    def test_parts(self):
        server = Server()
        self.run_config(self.target(server))
        self.assertGreater(self.check_server(server), 7)
        self.assertTrue(list(server.files)[-1].endswith("SHA256SUMS"), "the mark of a whole dump comes last")
        for path, headers in server.requests:
            if path in server.files and not path.endswith("summary.json"):
                self.assertEqual(headers["X-Checksum-Sha256"], hashlib.sha256(server.files[path]).hexdigest())

    def test_resumes_after_failures(self):
        """Only the part that failed is sent again."""
        seen = {}

        def trouble(path):
            seen[path] = seen.get(path, 0) + 1
            if path.endswith(".00002") and seen[path] <= 2:
                return "cut"
            return 503 if path.endswith(".00004") and seen[path] == 1 else None
        server = Server(trouble)
        self.run_config(self.target(server))
        self.check_server(server)
        tries = {path[-5:]: count for path, count in seen.items() if "vmcore.flat" in path}
        self.assertEqual((tries["00002"], tries["00004"]), (3, 2))
        self.assertEqual({count for name, count in tries.items() if name not in ("00002", "00004")}, {1})

    def test_gives_up_and_goes_on(self):
        for status in [507, 403, 503]:
            with self.subTest(status):
                shutil.rmtree(self.dumps, ignore_errors=True)
                server = Server(lambda path: status if path.endswith(".00003") else None)
                said = self.run_config(self.target(server, "tries = 2\n") + self.directory_target())
                self.assertIn(f"status {status}", said)
                self.assertFalse(any(path.endswith("/SHA256SUMS") for path in server.files))
                self.check_dump(self.only_dump() / "vmcore")

    def test_a_server_that_takes_nothing_has_nothing(self):
        for status in [401, 403]:
            with self.subTest(status):
                server = Server(lambda path: status)
                server.mkcol = status
                said = self.run_config(self.target(server, "tries = 1\n"), code=1)
                self.assertIn(f"status {status}", said)
                self.assertIn("capture finished: nothing saved", said)
                self.assertEqual(server.files, {})

    def test_nobody_listens(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            said = self.run_config(f'[[target]]\nkind = "http"\nurl = "{url}"\ntries = 1\n' + self.directory_target())
        self.assertIn(f"http {url}: ", said)
        self.only_dump()

    def test_s3_signature(self):
        """Recomputed as Amazon's Signature Version 4 describes it."""
        key = self.here / "key"
        key.write_text("AKID:SECRET\n")
        server = Server()
        self.run_config(self.target(server, f'credentials = "{key}"\ns3_region = "eu-test-1"\n'))
        self.check_server(server)
        for path, headers in server.requests:
            headers = {name.lower(): value for name, value in headers.items()}
            fields = dict(item.strip().split("=", 1) for item in
                          headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
            names = fields["SignedHeaders"].split(";")
            self.assertIn("x-amz-content-sha256", names)
            canonical = "\n".join(["PUT", urllib.parse.quote(path), "",
                                   *(f"{name}:{headers[name].strip()}" for name in names), "",
                                   fields["SignedHeaders"], headers["x-amz-content-sha256"]])
            stamp = headers["x-amz-date"]
            scope = f"{stamp[:8]}/eu-test-1/s3/aws4_request"
            secret = b"AWS4SECRET"
            for word in scope.split("/"):
                secret = hmac.digest(secret, word.encode(), "sha256")
            text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
            self.assertEqual(hmac.new(secret, text.encode(), "sha256").hexdigest(), fields["Signature"], path)
            self.assertEqual(fields["Credential"], f"AKID/{scope}")


if __name__ == "__main__":
    unittest.main()
