"""Keys, certificates and signed kernel images for tests: made by openssl, sbsign and evmctl, or byte by byte."""
import gzip
import struct
import subprocess
from pathlib import Path

LEAF = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"


def run(*arguments, check=True):
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stdout}{result.stderr}")
    return result


class Signer:
    """A private key and its certificate, PEM files."""

    def __init__(self, key: Path, certificate: Path):
        self.key, self.certificate = key, certificate

    def der(self) -> bytes:
        """The certificate."""
        done = subprocess.run(["openssl", "x509", "-in", self.certificate, "-outform", "DER"], capture_output=True, check=True)
        return done.stdout

    def sign_pe(self, image: Path, out: Path) -> Path:
        """As sbsign does: behind the signatures that `image` has already."""
        run("sbsign", "--key", self.key, "--cert", self.certificate, "--output", out, image)
        return out

    def append_to(self, image: Path, out: Path, *options: str) -> Path:
        """As scripts/sign-file of the kernel does with modules. `options` for `openssl cms`."""
        done = subprocess.run(["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", "-in", image, "-signer",
                               self.certificate, "-inkey", self.key, *(options or ("-noattr", "-nocerts"))],
                              capture_output=True, check=True)
        trailer = struct.pack(">BBB5xI", 0, 0, 2, len(done.stdout)) + b"~Module signature appended~\n"
        out.write_bytes(image.read_bytes() + done.stdout + trailer)
        return out

    def ima_signature(self, file: Path, algorithm: str = "sha256") -> bytes:
        """The value of security.ima, by evmctl; the file itself stays as it is."""
        run("evmctl", "ima_sign", "-n", "-a", algorithm, "--key", self.key, "--keyid-from-cert", self.certificate, "--sigfile",
            file)
        signature = Path(f"{file}.sig")
        value = signature.read_bytes()
        signature.unlink()
        return value


def new_signer(directory: Path, name: str, issuer: Signer | None = None, curve: str = "") -> Signer:
    """A key and a certificate of its own, CN=`name`: by itself or by `issuer`. RSA 2048, or on an elliptic curve."""
    signer = Signer(directory / f"{name}.key", directory / f"{name}.pem")
    kind = ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"] if curve else ["-newkey", "rsa:2048"]
    request = ["openssl", "req", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", signer.key]
    if issuer is None:
        run(*request, "-x509", "-days", "30", "-out", signer.certificate)
        return signer
    wish, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    run(*request, "-out", wish)
    extensions.write_text(LEAF)
    run("openssl", "x509", "-req", "-in", wish, "-CA", issuer.certificate, "-CAkey", issuer.key, "-CAserial",
        directory / f"{name}.srl", "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", signer.certificate)
    return signer


def make_image(flags=0xA, x86=False, tail=b"", xloadflags=0x7F):
    """A small PE image that kernels take for an arm64 Image or a bzImage. 0x400 bytes of headers, two sections."""
    header = bytearray(0x400)
    header[0:2] = b"MZ"
    struct.pack_into("<QQQ", header, 8, 0, 0x200000, flags)
    if not x86:
        header[56:60] = b"ARM\x64"
    struct.pack_into("<I", header, 0x3C, 0x40)
    struct.pack_into("<IHHIIIHH", header, 0x40, 0x4550, 0x8664 if x86 else 0xAA64, 2, 0, 0, 0, 240, 0x206)
    optional = 0x58
    struct.pack_into("<HBBIIIIIQII", header, optional, 0x20B, 2, 20, 0x2000, 0xA00, 0, 0x1000, 0x1000, 0, 0x1000, 0x200)
    struct.pack_into("<HHHHHHIIIIHH", header, optional + 40, 0, 0, 0, 0, 0, 0, 0, 0x5000, 0x400, 0, 10, 0)
    struct.pack_into("<QQQQII", header, optional + 72, 0, 0, 0, 0, 0, 16)
    for i, (name, size, at) in enumerate([(b".text", 0x2000, 0x400), (b".data", 0xA00, 0x2400)]):
        struct.pack_into("<8sIIII", header, optional + 240 + 40 * i, name, size, 0x1000 + 0x3000 * i, size, at)
    if x86:  # Documentation/arch/x86/boot.rst
        header[0x1F1], header[0x201] = 1, 0x66
        header[0x1FE:0x200] = b"\x55\xAA"
        header[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", header, 0x206, 0x20F)
        header[0x211] = 1  # loaded high
        struct.pack_into("<IBBHI", header, 0x230, 0x200000, 1, 21, xloadflags, 2047)
        struct.pack_into("<QI", header, 0x258, 0x1000000, 0x200000)
    body = bytes((i * 7 + i // 256) & 0xFF for i in range(0x2000 + 0xA00))
    return bytes(header) + body + tail


def make_zboot(kernel: bytes) -> bytes:
    """An EFI zboot image around a kernel image, packed with gzip."""
    payload = gzip.compress(kernel, compresslevel=1, mtime=0)
    image = bytearray(make_image(tail=payload + bytes(-len(payload) % 8)))
    image[4:8] = b"zimg"
    struct.pack_into("<II", image, 8, 0x2E00, len(payload))
    image[24:56] = b"gzip".ljust(32, b"\0")
    image[56:60] = struct.pack("<I", 0x818223CD)
    return bytes(image)


def changed(image: bytes, offset: int) -> bytes:
    """One bit is another."""
    return image[:offset] + bytes([image[offset] ^ 1]) + image[offset + 1:]
