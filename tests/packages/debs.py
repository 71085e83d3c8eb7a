"""Our Debian packages: made by scripts/package of what is built, and looked at."""
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ["kdumpkit", "kdumpkit-analyze", "kdumpkit-capture", "kdumpkit-capture-http", "kdumpkit-doc", "kdumpkit-load"]


def make(out: Path, architecture: str = "", **environment) -> dict[str, Path]:
    """The packages by name; of this machine's architecture, if no other is named."""
    out.mkdir(exist_ok=True)
    options = ["--arch", architecture] if architecture else []
    done = subprocess.run([ROOT / "scripts" / "package", *options, out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"DEB_BUILD_OPTIONS": "noautodbgsym"} | environment)
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:])
    return {file.name.split("_")[0]: file for file in out.glob("*.deb")}


def field(deb: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", deb, name], capture_output=True, text=True, check=True).stdout.strip()


def lintian(debs: list[Path]) -> str:
    """Errors and warnings, and overrides that override nothing any more; nothing is the answer that is wanted."""
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", "--info", *debs],
                          capture_output=True, text=True, env=environment)
    unused = subprocess.run(["lintian", "--allow-root", "--tags", "unused-override,mismatched-override", *debs],
                            capture_output=True, text=True, env=environment)
    return (done.stdout + done.stderr if done.returncode != 0 else "") + unused.stdout
