"""What the guests of test_signatures.py find on their disk: kernel images signed in every way, and keys.

  /images/NAME      what check-image judges and the kernel is given: small ones, since each is hashed many times
  /copies/NAME      the same unpacked, for images that kexec_file_load gets only as a copy in memory
  /kernels/NAME     real kernels; some of them are judged, too
  /certificates/    for check-image --cert; ima.der also for the .ima keyring
Values of security.ima are not set here but returned: the host may not be allowed to have them on its files.
"""
import gzip
import hashlib
import shutil
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from signing import Signer, changed, make_image, make_zboot, new_signer, run  # noqa: E402

# The key that OVMF_VARS*.snakeoil.fd has in PK, KEK and db: for tests, everybody has it.
SNAKEOIL = Path("/usr/share/ovmf")
DIGEST_SHA256, HASH_SHA256 = 4, 4  # evm_ima_xattr_type, hash_info.h


def ima_digest(image: bytes) -> bytes:
    return bytes([DIGEST_SHA256, HASH_SHA256]) + hashlib.sha256(image).digest()


def version_3(value: bytes) -> bytes:
    """The same signature, said to be of the newer version."""
    return value[:1] + b"\3" + value[2:]


def signature_offset(image: bytes) -> int:
    """Of the first entry of the certificate table (PE/COFF specification, optional header data directories)."""
    pe, = struct.unpack_from("<I", image, 0x3C)
    return struct.unpack_from("<I", image, pe + 24 + 144)[0]


class Images:
    """One directory of them."""

    def __init__(self, root: Path, name: str):
        self.path, self.copies, self.name = root / name, root / "copies", name
        self.path.mkdir(exist_ok=True)
        self.copies.mkdir(exist_ok=True)
        self.attributes: dict[str, bytes] = {}  # path on the disk -> security.ima

    def add(self, name: str, content: bytes, ima: bytes | None = None, copy: bytes | None = None) -> Path:
        path = self.path / name
        path.write_bytes(content)
        if ima is not None:
            self.attributes[f"/{self.name}/{name}"] = ima
        if copy is not None:
            (self.copies / name).write_bytes(copy)
        return path

    def sign(self, name: str, image: Path, *signers: Signer) -> bytes:
        """One signature behind the other."""
        for signer in signers:
            image = signer.sign_pe(image, self.path / name)
        return image.read_bytes()


def add_authenticode(images: Images, plain: bytes, trusted: Signer, unknown: Signer) -> bytes:
    """Signed, and what can be wrong with that. Returns the signed image."""
    base = images.add("plain", plain)
    signed = images.sign("signed", base, trusted)
    stranger = images.sign("unknown", base, unknown)
    images.add("tampered", changed(signed, len(plain) // 2))
    images.add("tampered-unknown", changed(stranger, len(plain) // 2))
    table = signature_offset(signed)
    size, = struct.unpack_from("<I", signed, table)
    images.add("tampered-signature", changed(signed, table + size - 9))  # sbsign fills it up to eight bytes
    return signed


def add_more(images: Images, plain: bytes, signed: bytes, trusted: Signer, unknown: Signer, work: Path) -> None:
    base = images.path / "plain"
    images.add("cut", signed[:-64])
    images.sign("both", base, trusted, unknown)
    images.sign("both-reversed", base, unknown, trusted)
    images.sign("chain", base, new_signer(work, "leaf", issuer=trusted))
    images.sign("elliptic", base, new_signer(work, "elliptic", issuer=trusted, curve="P-256"))
    images.add("gzip", pack(signed), copy=signed)
    images.add("no-image", b"\0" * 4096)


def pack(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1, mtime=0)


def trust(root: Path, name: str, signer: Signer) -> None:
    (root / "certificates").mkdir(exist_ok=True)
    (root / "certificates" / f"{name}.der").write_bytes(signer.der())


def make_arm64(root: Path, kernel, work: Path) -> dict[str, bytes]:
    trusted = Signer(kernel.key, kernel.certificate)
    unknown = new_signer(work, "unknown")
    ima = new_signer(work, "ima", issuer=trusted)
    not_loaded = new_signer(work, "not-loaded", issuer=trusted)
    for name, signer in [("trusted", trusted), ("ima", ima), ("not-loaded", not_loaded)]:
        trust(root, name, signer)

    kernels = Images(root, "kernels")
    signed = add_authenticode(kernels, kernel.image.read_bytes(), trusted, unknown)
    kernels.add("gzip", pack(signed))
    kernels.add("zboot-inner", make_zboot(signed))
    kernels.add("ima-and-signed", signed, ima.ima_signature(kernels.path / "signed"))

    images = Images(root, "images")
    plain = make_image()
    signed = add_authenticode(images, plain, trusted, unknown)
    add_more(images, plain, signed, trusted, unknown, work)
    base = images.path / "plain"
    big_endian = images.add("big-endian", make_image(flags=0xB))
    images.sign("big-endian-signed", big_endian, trusted)
    images.add("zboot-inner", make_zboot(signed), copy=signed)
    outer = images.add("zboot-outer", make_zboot(plain), copy=plain)
    images.sign("zboot-outer", outer, trusted)

    good = ima.ima_signature(base)
    images.add("ima", plain, good)
    images.add("ima-sha512", plain, ima.ima_signature(base, "sha512"))
    images.add("ima-version-3", plain, version_3(good))
    images.add("ima-unknown", plain, not_loaded.ima_signature(base))
    images.add("ima-tampered", changed(plain, len(plain) // 2), good)
    images.add("ima-tampered-signature", plain, changed(good, len(good) - 1))
    images.add("ima-digest", plain, ima_digest(plain))
    images.add("ima-digest-other", plain, ima_digest(signed))
    images.add("ima-gzip", pack(plain), good, copy=plain)
    images.add("ima-and-signed", signed, ima.ima_signature(images.path / "signed"))

    appended = ima.append_to(base, images.path / "appended").read_bytes()
    ima.append_to(base, images.path / "appended-with-certificate", "-noattr")
    trusted.append_to(base, images.path / "appended-trusted")
    ima.append_to(base, images.path / "appended-attributes", "-nocerts")
    images.add("appended-tampered", changed(appended, len(plain) // 2))
    images.add("appended-and-digest", appended, ima_digest(appended))
    images.add("appended-and-unknown", appended, not_loaded.ima_signature(images.path / "appended"))
    images.add("appended-and-wrong", appended, good)  # a signature by the right key, of another file
    images.add("appended-gzip", pack(appended), copy=appended)
    return images.attributes | kernels.attributes


def snakeoil(work: Path) -> Signer:
    key = work / "snakeoil.key"
    run("openssl", "rsa", "-in", SNAKEOIL / "PkKek-1-snakeoil.key", "-passin", "pass:snakeoil", "-out", key)
    return Signer(key, SNAKEOIL / "PkKek-1-snakeoil.pem")


def make_amd64(root: Path, kernel, work: Path) -> dict[str, bytes]:
    """Debian's kernel as it comes, without its signature, and signed with the key in the firmware's db."""
    trusted, unknown = snakeoil(work), new_signer(work, "unknown")
    trust(root, "trusted", trusted)
    kernels = Images(root, "kernels")
    shutil.copyfile(kernel.image, kernels.path / "debian")
    stripped = work / "stripped"
    shutil.copyfile(kernel.image, stripped)
    run("sbattach", "--remove", stripped)
    signed = add_authenticode(kernels, stripped.read_bytes(), trusted, unknown)
    kernels.add("gzip", pack(signed))
    kernels.add("ima-and-signed", signed, trusted.ima_signature(kernels.path / "signed"))

    images = Images(root, "images")
    plain = make_image(x86=True)
    signed = add_authenticode(images, plain, trusted, unknown)
    add_more(images, plain, signed, trusted, unknown, work)
    below_4g = images.add("below-4g", make_image(x86=True, xloadflags=0x7D))
    images.sign("below-4g", below_4g, trusted)
    images.add("ima", plain, trusted.ima_signature(images.path / "plain"))
    images.add("ima-and-signed", signed, trusted.ima_signature(images.path / "signed"))
    images.add("ima-unknown-and-signed", signed, unknown.ima_signature(images.path / "signed"))
    return images.attributes | kernels.attributes


def make(kernel, root: Path, work: Path) -> dict[str, bytes]:
    """Fills `root`, which becomes the guest's disk; returns values of security.ima by path."""
    return {"arm64": make_arm64, "x86-64": make_amd64}[kernel.machine.name](root, kernel, work)


def set_attributes(disk: Path, attributes: dict[str, bytes], work: Path) -> None:
    """Writes security.ima into an ext4 image."""
    commands = []
    for number, (path, value) in enumerate(attributes.items()):
        file = work / f"attribute-{number}"
        file.write_bytes(value)
        commands.append(f"ea_set -f {file} {path} security.ima\n")
    done = subprocess.run(["/sbin/debugfs", "-w", "-f", "-", disk], input="".join(commands), capture_output=True, text=True,
                          check=False)
    if done.returncode or "ea_set:" in done.stderr:
        raise RuntimeError(f"debugfs: {done.stderr[-1000:]}")


def boot_image(kernel, work: Path) -> Path:
    """The kernel to boot where the firmware trusts the snakeoil key alone."""
    return snakeoil(work).sign_pe(kernel.image, work / "boot.efi")


def sources() -> list[bytes]:
    """All that decides what is made here, but for the kernels."""
    return [Path(__file__).read_bytes(), Path(sys.modules["signing"].__file__).read_bytes()]
