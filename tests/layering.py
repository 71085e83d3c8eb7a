#!/usr/bin/env python3
"""Checks every #include against the layering table of the design: left may include right, never back.

Two tables: which of our folders a folder may include, and which folders may see a third-party header at all.
"""
import pathlib
import re
import sys

# folder (longest prefix wins) -> folders it may include besides itself
CORE = ["core/base", "core/formats", "core/arch", "core/kernel", "core/diagnose"]
ALLOWED = {
    "core/base": [],
    "core/config": ["core/base"],
    "core/formats": ["core/base"],
    "core/arch": ["core/base", "core/formats"],
    "core/kernel": ["core/base", "core/formats", "core/arch"],
    "core/diagnose": CORE[:4],
    # The loader runs on production machines and stays small: VMCOREINFO and notes, no dump readers, no walks.
    "loader": CORE[:2] + ["core/config"],
    "capture": CORE + ["core/config"],
    "library": CORE,
    "analyze/symbols": CORE,
    "analyze/unwind": CORE + ["analyze/symbols"],
    "analyze/inspect": CORE + ["library", "analyze/symbols"],
    "analyze/triage": CORE + ["library", "analyze/symbols", "analyze/unwind", "analyze/inspect"],
    "analyze/shell": ["core/base"],
    "analyze": CORE + ["library", "analyze/shell", "analyze/symbols", "analyze/unwind", "analyze/inspect", "analyze/triage", "analyze/render"],
}
# render sees only models, by file, and the structs that walkers fill
RENDER_FILES = {"analyze/triage/report.h", "analyze/triage/answer.h", "analyze/triage/collection.h",
                "analyze/triage/report_diff.h", "analyze/triage/function_name.h", "analyze/triage/activity.h",
                "core/kernel/struct_layout.h"}

# third-party header pattern -> folders (or files) that may include it
THIRD_PARTY = [
    (r"^(libelf|gelf)\.h$", ["core/formats", "analyze/symbols", "analyze/unwind"]),
    (r"^(dwarf\.h|elfutils/)", ["analyze/symbols", "analyze/unwind"]),
    (r"^libfdt", ["loader"]),
    (r"^(zstd\.h|zlib\.h|lzo/|snappy)", ["core/formats", "loader", "capture/initramfs"]),
    (r"^lzma", ["core/formats", "loader/image"]),
    (r"^lz4", ["loader/image"]),
    (r"^nlohmann/(?!json_fwd)", [".cc"]),
    (r"^CLI/", ["main.cc", "cli.cc", "analyze/commands"]),
    (r"^toml", ["core/config"]),
    (r"^(curl|blkid)/", ["capture/run"]),
    (r"^capstone/", ["analyze/inspect"]),
    (r"^histedit", ["analyze/shell"]),
    (r"^sodium", ["capture/crypt"]),
    (r"^openssl/", ["loader/signature"]),
    (r"^kdumpkit/", ["library/include", "analyze"]),
]
PROGRAMS = ("core", "library", "loader", "capture", "analyze")


def folder_of(path, known):
    best = ""
    for folder in known:
        if (path == folder or path.startswith(folder + "/")) and len(folder) > len(best):
            best = folder
    return best


def main():
    root = pathlib.Path(sys.argv[1])
    known = list(ALLOWED) + ["analyze/render"]
    errors = []
    checked = 0
    for program in PROGRAMS:
        for file in sorted(root.glob(f"{program}/**/*")):
            if file.suffix not in (".cc", ".h", ".hpp"):
                continue
            name = file.relative_to(root).as_posix()
            own = folder_of(name, known)
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if not match:
                    continue
                checked += 1
                target = match.group(2)
                # What others compile has to stand alone.
                if name.startswith("library/include/") and "/" in target and not target.startswith("kdumpkit/"):
                    errors.append(f"{name}:{number}: a public header may not include {target}")
                if target.split("/")[0] in PROGRAMS:
                    other = folder_of(target, known)
                    allowed = other == own or other in ALLOWED.get(own, [])
                    if own == "analyze/render":
                        allowed = other in (own, "core/base", "analyze/inspect") or target in RENDER_FILES
                    if not allowed:
                        errors.append(f"{name}:{number}: {own} may not include {target}")
                    continue
                for pattern, places in THIRD_PARTY:
                    if re.search(pattern, target):
                        if not any(name.startswith(p + "/") or name.endswith(p) for p in places):
                            errors.append(f"{name}:{number}: <{target}> belongs to {', '.join(places)}")
    for error in errors:
        print(error)
    if checked == 0:
        print("no include was found: wrong folder?")
        return 1
    print(f"{checked} includes checked, {len(errors)} against the layering")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
