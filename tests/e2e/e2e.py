"""What the e2e test programs share: where our programs are, how they are run, when a test is skipped."""
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import NoReturn

import guest

sys.path.insert(0, str(guest.ROOT / "tests" / "support"))
import schemas  # noqa: E402  (found through the path above)

BIN = Path(os.environ.get("KDK_BIN", guest.ROOT / "build" / "release" / "bin"))


class TestCase(unittest.TestCase):
    """A unittest.TestCase with checks for our programs' manners."""
    longMessage = True
    maxDiff = 4000
    guest_run: guest.Run

    def run_program(self, program: str, *arguments, expect: int | None = 0) -> str:
        """stdout of one of our programs; its exit code must be `expect`, if that is not None."""
        done = subprocess.run([BIN / program, *map(str, arguments)], capture_output=True, text=True, errors="replace",
                              timeout=300, check=False)
        if expect is not None:
            self.assertEqual(expect, done.returncode, f"{program} {arguments}: {done.stderr}")
        return done.stdout

    def run_json(self, program: str, *arguments, expect: int | None = 0) -> dict:
        return self.valid_json(self.run_program(program, *arguments, expect=expect))

    def valid_json(self, text: str) -> dict:
        """The document, after a check against the schema it names."""
        document = json.loads(text)
        name = document["schema"]["id"].removeprefix("kdumpkit/")
        self.assertEqual([], schemas.problems(document, name), f"against schemas/{name}.schema.json")
        return document

    def assert_exit(self, step: str, expect: int) -> None:
        """A step of the guest's scripts ended with this code."""
        seen = self.guest_run.exit_code(step)
        detail = self.guest_run.text(step + ".stderr" if seen is not None else "console.log")[-2000:]
        self.assertEqual(expect, seen, f"{step} in the guest: {detail}")


def skip(reason: Exception) -> NoReturn:
    """Exit code 77 (skipped) because the machine lacks something; in CI that is a failure."""
    print(f"skipped: {reason}")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def main(config: str) -> None:
    """Makes the run of a configuration and tests it."""
    try:
        TestCase.guest_run = guest.get(guest.CONFIGS[config])
    except guest.Skip as reason:
        skip(reason)
    print(f"guest run: {TestCase.guest_run.directory}", flush=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)
