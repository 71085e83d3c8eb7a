"""How a test says that it cannot run here: exit code 77, and why. In CI that is a failure."""
import os
import shutil
import sys


def skip(why: str) -> None:
    print(f"skipped: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip(f"{tool} is not installed: run scripts/deps")
