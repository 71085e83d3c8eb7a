#!/usr/bin/python3
"""kdump-load check-image on images signed here by sbsign and evmctl, with keys made by openssl, judged on recorded
machines. pesign computes the same digests on its own.

usage: check_image_test.py KDUMP_LOAD
"""
import gzip
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import unittest
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent.parent / "support"))
import schemas  # noqa: E402
from signing import changed, make_image, make_zboot, new_signer, run  # noqa: E402

PROGRAM = sys.argv[1]
RELEASE = "6.12-test"
ENFORCING = """CONFIG_ARM64=y
CONFIG_KEXEC=y
CONFIG_KEXEC_FILE=y
CONFIG_KEXEC_SIG=y
CONFIG_KEXEC_SIG_FORCE=y
CONFIG_KEXEC_IMAGE_VERIFY_SIG=y
CONFIG_INTEGRITY_PLATFORM_KEYRING=y
CONFIG_LOAD_UEFI_KEYS=y
CONFIG_SYSTEM_REVOCATION_LIST=y
# CONFIG_IMA is not set
"""
LAX = ENFORCING.replace("CONFIG_KEXEC_SIG_FORCE=y\n", "")
WITH_IMA = "CONFIG_IMA=y\nCONFIG_IMA_APPRAISE=y\nCONFIG_INTEGRITY_TRUSTED_KEYRING=y\n"
GLOBAL, DATABASE, SHIM = ("8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
                          "605dab50-e046-4300-abb6-3dd810dd8b23")
X509, SHA256, X509_SHA256 = ("a5c059a1-94e4-4aa7-87b5-ab155c2bf072", "c1c41626-504c-4092-aca9-41f936934328",
                             "3bd2a492-96c0-4079-b420-fcf98ef103ed")
TEXT, DATA, CHECKSUM, HEADER = 0x500, 0x2500, 0x98, 0x380  # offsets in the images of make_image


def signature_list(kind, data, owner=uuid.UUID(GLOBAL)):
    return (uuid.UUID(kind).bytes_le + struct.pack("<III", 28 + 16 + len(data), 0, 16 + len(data)) +
            owner.bytes_le + data)


class Machine:
    """A recorded machine: what check-image reads below --sysroot."""

    def __init__(self, directory, config=ENFORCING, lockdown="none", efi=None, keys=None, command_line="", policy=None):
        self.root = Path(tempfile.mkdtemp(dir=directory))
        self.write("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.write(f"boot/config-{RELEASE}", config)
        words = [f"[{w}]" if w == lockdown else w for w in ("none", "integrity", "confidentiality")]
        self.write("sys/kernel/security/lockdown", " ".join(words) + "\n")
        self.write("proc/cmdline", command_line + "\n")
        (self.root / "sys/firmware").mkdir(parents=True)
        if keys is not None:
            self.write("proc/keys", keys)
        if policy is not None:
            self.write("sys/kernel/security/ima/policy", policy)
        for (name, guid), value in (efi or {}).items():
            self.write(f"sys/firmware/efi/efivars/{name}-{guid}", struct.pack("<I", 6) + value)

    def write(self, path, content):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


class CheckImage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.signers = {name: new_signer(cls.directory, name) for name in ("alice", "bob")}
        cls.signers["carol"] = new_signer(cls.directory, "carol", curve="P-256")
        cls.signers["leaf"] = new_signer(cls.directory, "leaf", issuer=cls.signers["alice"])
        cls.image = cls.path("Image")
        cls.image.write_bytes(make_image())
        cls.signed = cls.sign(cls.image, "alice")

    @classmethod
    def path(cls, name):
        return cls.directory / name

    @classmethod
    def sign(cls, image, name):
        return cls.signers[name].sign_pe(image, Path(f"{image}.{name}"))

    @classmethod
    def key_line(cls, name, serial="01a2b3c4"):
        text = run("openssl", "x509", "-in", cls.path(f"{name}.pem"), "-noout", "-ext", "subjectKeyIdentifier").stdout
        skid = re.search(r"((?:[0-9A-F]{2}:){19}[0-9A-F]{2})", text).group(1).replace(":", "").lower()
        return f"{serial} I------     1 perm 1f030000     0     0 asymmetri {name}: {skid}: X509.rsa {skid[-8:]} []\n"

    KEYRINGS = ("0bf6ec33 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
                "0cf6ec34 I------     1 perm 1f0b0000     0     0 keyring   .platform: empty\n")

    def check(self, image, machine, *more, verdict=None, code=None):
        result = run(PROGRAM, "check-image", "--json", "--sysroot", machine.root, image, *more, check=False)
        self.assertIn(result.returncode, (0, 3), result.stdout + result.stderr)
        document = json.loads(result.stdout)
        self.assertEqual(schemas.problems(document, "image-check"), [])
        self.assertEqual(result.returncode, 0 if document["verdict"] == "accepted" else 3)
        if verdict is not None:
            self.assertEqual(document["verdict"], verdict, result.stdout)
        if code is not None:
            self.assertEqual(document["forecast"]["kexec_file_load"]["errno"], code, result.stdout)
        return document

    def no_kexec_load(self, **more):
        """A machine where only kexec_file_load can work, so that the verdict is its verdict."""
        config = more.pop("config", ENFORCING).replace("CONFIG_KEXEC=y\n", "")
        return Machine(self.directory, config=config, **more)

    def cert(self, name):
        return ("--cert", self.path(f"{name}.pem"))

    # --- the signature itself

    def test_digest_is_pesigns(self):
        for name, image in [("plain", make_image()), ("bz", make_image(x86=True)), ("tail", make_image(tail=b"t" * 96)),
                            ("be", make_image(flags=0xB))]:
            path = self.path(f"digest-{name}")
            path.write_bytes(image)
            signed = self.sign(path, "alice")
            theirs = run("pesign", "-h", "-d", "sha256", "-i", signed).stdout.split()[-1]
            document = self.check(signed, self.no_kexec_load())
            self.assertEqual(document["image"]["layers"][0]["pe_sha256"], theirs)
            self.assertEqual(document["signatures"][0]["digest"], theirs)
            self.assertEqual(document["signatures"][0]["signed_digest"], theirs)

    def test_valid(self):
        document = self.check(self.signed, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        self.assertEqual(document["syscall"], "kexec_file_load")
        signature, = document["signatures"]
        self.assertEqual((signature["kind"], signature["state"], signature["decides"]), ("authenticode", "valid", True))
        signer, = signature["signers"]
        serial = run("openssl", "x509", "-in", self.path("alice.pem"), "-noout", "-serial").stdout.strip()
        self.assertEqual((signer["subject"], signer["issuer"], signer["key_algorithm"], signer["digest_algorithm"]),
                         ("CN=alice", "CN=alice", "RSA 2048", "sha256"))
        self.assertEqual(signer["serial"].lstrip("0"), serial.split("=")[1].lower().lstrip("0"))
        self.assertIn(signer["key_id"], self.key_line("alice"))
        # DER does as well as PEM.
        self.path("alice.der").write_bytes(self.signers["alice"].der())
        self.check(self.signed, self.no_kexec_load(), "--cert", self.path("alice.der"), verdict="accepted")
        text = run(PROGRAM, "check-image", "--sysroot", self.no_kexec_load().root, self.signed, *self.cert("alice")).stdout
        self.assertIn("verdict   accepted by kexec_file_load", text)
        self.assertIn("signer    CN=alice", text)

    def test_chain_meets_the_issuer(self):
        signed = self.sign(self.image, "leaf")
        self.check(signed, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        self.check(signed, self.no_kexec_load(), *self.cert("leaf"), verdict="accepted")
        self.check(signed, self.no_kexec_load(), *self.cert("bob"), verdict="unknown")

    def test_elliptic_curve(self):
        signed = self.sign(self.image, "carol")
        document = self.check(signed, self.no_kexec_load(), *self.cert("carol"), verdict="accepted")
        self.assertEqual(document["signatures"][0]["signers"][0]["key_algorithm"], "EC prime256v1")

    def test_unsigned(self):
        document = self.check(self.image, self.no_kexec_load(), verdict="refused", code="ENODATA")
        self.assertEqual(document["signatures"], [])
        self.assertIn("sbsign", document["next_step"])

    def test_tampering(self):
        path = self.path("tail")
        path.write_bytes(make_image(tail=b"t" * 96))
        good = self.sign(path, "alice").read_bytes()
        altered = self.path("changed")
        for name, at in [("header", HEADER), ("text", TEXT), ("data", DATA), ("behind the sections", 0x2E10),
                         ("first byte of a section", 0x400), ("last byte of the last section", 0x2DFF)]:
            with self.subTest(name):
                data = bytearray(good)
                data[at] ^= 1
                altered.write_bytes(data)
                document = self.check(altered, self.no_kexec_load(), *self.cert("alice"), verdict="refused",
                                      code="EKEYREJECTED")
                self.assertEqual(document["signatures"][0]["state"], "invalid")
        with self.subTest("the checksum is not signed"):
            data = bytearray(good)
            data[CHECKSUM] ^= 1
            altered.write_bytes(data)
            self.check(altered, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        with self.subTest("bytes behind the table are"):
            altered.write_bytes(good + b"12345678")
            self.check(altered, self.no_kexec_load(), *self.cert("alice"), verdict="refused")
        with self.subTest("last byte of the signature"):
            message = good.index(b"\x30\x82", 0x2E60)
            size = struct.unpack_from(">H", good, message + 2)[0] + 4
            data = bytearray(good)
            data[message + size - 1] ^= 1
            altered.write_bytes(data)
            document = self.check(altered, self.no_kexec_load(), *self.cert("alice"), verdict="refused")
            self.assertEqual(document["signatures"][0]["state"], "invalid")

    def test_truncated_table(self):
        good = self.signed.read_bytes()
        table, = struct.unpack_from("<I", good, 0x58 + 144)
        path = self.path("truncated")
        path.write_bytes(good[:-16])
        document = self.check(path, self.no_kexec_load(), *self.cert("alice"), verdict="refused", code="ELIBBAD")
        self.assertIn("truncated", document["image"]["layers"][0]["problem"])
        longer = bytearray(good)
        struct.pack_into("<I", longer, table, len(good) - table + 8)
        path.write_bytes(longer)
        self.check(path, self.no_kexec_load(), *self.cert("alice"), verdict="refused", code="ELIBBAD")
        shorter = bytearray(good)
        struct.pack_into("<I", shorter, table, 64)
        path.write_bytes(shorter)
        document = self.check(path, self.no_kexec_load(), *self.cert("alice"), verdict="refused", code="ELIBBAD")
        self.assertEqual(document["signatures"][0]["state"], "invalid")
        other = bytearray(good)
        struct.pack_into("<H", other, table + 6, 1)
        path.write_bytes(other)
        self.check(path, self.no_kexec_load(), *self.cert("alice"), verdict="refused", code="ENOTSUPP")

    def test_the_kernel_reads_the_first_of_two(self):
        both = self.sign(self.signed, "bob")
        document = self.check(both, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        self.assertEqual([s["signers"][0]["subject"] for s in document["signatures"]], ["CN=alice", "CN=bob"])
        self.assertEqual([s["state"] for s in document["signatures"]], ["valid", "valid"])
        self.assertEqual([s["decides"] for s in document["signatures"]], [True, False])
        keys = self.KEYRINGS + self.key_line("bob")
        document = self.check(both, self.no_kexec_load(keys=keys), *self.cert("bob"), verdict="refused", code="ENOKEY")
        self.assertEqual(document["signatures"][1]["signers"][0]["trust"]["state"], "trusted")

    # --- keys

    def test_keys_of_the_kernel(self):
        mine = self.no_kexec_load(keys=self.KEYRINGS + self.key_line("alice"))
        document = self.check(self.signed, mine, *self.cert("alice"), verdict="accepted")
        self.assertEqual(document["signatures"][0]["signers"][0]["trust"]["by"], "/proc/keys")
        # Known, but a recording does not say in which keyring, and no certificate confirms it.
        self.check(self.signed, mine, verdict="unknown")
        other = self.no_kexec_load(keys=self.KEYRINGS + self.key_line("bob"))
        self.check(self.signed, other, verdict="refused", code="ENOKEY")
        # What the user says does not overrule what the kernel shows.
        self.check(self.signed, other, *self.cert("alice"), verdict="refused", code="ENOKEY")
        # A list without the kernel's keyrings is not all of it.
        self.check(self.signed, self.no_kexec_load(keys=self.key_line("bob")), verdict="unknown")

    def test_blacklist_of_the_kernel(self):
        digest = self.signed_part_digest("alice")
        line = f"0d000001 I------     1 perm 0a010000     0     0 blacklist tbs:{digest}\n"
        keys = self.KEYRINGS + self.key_line("alice") + line
        document = self.check(self.signed, self.no_kexec_load(keys=keys), *self.cert("alice"), verdict="refused",
                              code="EKEYREJECTED")
        self.assertEqual(document["signatures"][0]["revocations"][0]["effect"], "refused")

    def signed_part_digest(self, name):
        path = self.path(f"{name}.tbs")
        self.path(f"{name}.der").write_bytes(self.signers[name].der())
        run("openssl", "asn1parse", "-inform", "DER", "-in", self.path(f"{name}.der"), "-strparse", "4", "-noout", "-out", path)
        return run("openssl", "dgst", "-sha256", "-r", path).stdout.split()[0]

    def test_firmware_database(self):
        db = {("db", DATABASE): signature_list(SHA256, b"x" * 32) + signature_list(X509, self.signers["alice"].der()),
              ("SecureBoot", GLOBAL): b"\1"}
        document = self.check(self.signed, self.no_kexec_load(efi=db), verdict="accepted")
        self.assertEqual(document["signatures"][0]["signers"][0]["trust"]["by"], "db")
        self.assertIs(document["kernel"]["secure_boot"], True)
        ignored = db | {("MokIgnoreDB", SHIM): b"\1"}
        self.check(self.signed, self.no_kexec_load(efi=ignored), verdict="unknown")
        config = ENFORCING.replace("CONFIG_LOAD_UEFI_KEYS=y\n", "")
        self.check(self.signed, self.no_kexec_load(efi=db, config=config), verdict="unknown")

    def test_machine_owner_keys_count_under_secure_boot_only(self):
        mok = {("MokListRT", SHIM): signature_list(X509, self.signers["alice"].der()), ("SecureBoot", GLOBAL): b"\1"}
        self.check(self.signed, self.no_kexec_load(efi=mok), verdict="accepted")
        self.check(self.signed, self.no_kexec_load(efi=mok | {("SecureBoot", GLOBAL): b"\0"}), verdict="unknown")
        machine = self.no_kexec_load(efi={("SecureBoot", GLOBAL): b"\1"})
        machine.write("sys/firmware/efi/mok-variables/MokListRT", signature_list(X509, self.signers["alice"].der()))
        self.check(self.signed, machine, verdict="accepted")

    def test_revoked(self):
        def dbx(kind, data, config=ENFORCING):
            efi = {("dbx", DATABASE): signature_list(kind, data)}
            return self.no_kexec_load(efi=efi, config=config)

        lists = self.check(self.signed, dbx(X509, self.signers["alice"].der()), *self.cert("alice"), verdict="refused",
                           code="EKEYREJECTED")
        self.assertEqual(lists["signatures"][0]["revocations"][0]["source"], "dbx")
        self.check(self.signed, dbx(X509, self.signers["bob"].der()), *self.cert("alice"), verdict="accepted")
        # Built without the revocation list, the kernel drops certificates of dbx.
        config = ENFORCING.replace("CONFIG_SYSTEM_REVOCATION_LIST=y\n", "")
        document = self.check(self.signed, dbx(X509, self.signers["alice"].der(), config), *self.cert("alice"), verdict="accepted")
        self.assertEqual(document["signatures"][0]["revocations"][0]["effect"], "firmware_only")
        # The issuer is revoked: so is what it issued.
        leaf = self.sign(self.image, "leaf")
        self.check(leaf, dbx(X509, self.signers["alice"].der()), *self.cert("leaf"), verdict="refused")
        digest = bytes.fromhex(self.signed_part_digest("alice"))
        self.check(self.signed, dbx(X509_SHA256, digest + bytes(16)), *self.cert("alice"), verdict="unknown")
        self.check(self.signed, dbx(X509_SHA256, digest), *self.cert("alice"), verdict="refused")
        image = bytes.fromhex(run("pesign", "-h", "-d", "sha256", "-i", self.signed).stdout.split()[-1])
        document = self.check(self.signed, dbx(SHA256, image), *self.cert("alice"), verdict="accepted")
        self.assertEqual(document["signatures"][0]["revocations"],
                         [{"source": "dbx", "what": "this very image, by its digest", "effect": "firmware_only"}])

    def test_damaged_variable_is_said(self):
        efi = {("dbx", DATABASE): signature_list(X509, self.signers["alice"].der())[:-1]}
        document = self.check(self.signed, self.no_kexec_load(efi=efi), *self.cert("alice"))
        self.assertTrue(any(p.startswith("dbx: ") for p in document["problems"]), document["problems"])

    # --- what the kernel demands

    def test_not_enforced(self):
        document = self.check(self.image, self.no_kexec_load(config=LAX), verdict="accepted")
        self.assertIn("does not enforce", " ".join(document["forecast"]["kexec_file_load"]["reasons"]))

    def test_lockdown(self):
        locked = Machine(self.directory, config=LAX, lockdown="integrity")
        document = self.check(self.image, locked, verdict="refused", code="EPERM")
        self.assertEqual(document["forecast"]["kexec_load"]["errno"], "EPERM")
        document = self.check(self.signed, locked, *self.cert("alice"), verdict="accepted")
        self.assertEqual(document["syscall"], "kexec_file_load")

    def test_secure_boot_with_the_architectures_ima_policy_enforces(self):
        config = LAX + "CONFIG_IMA_ARCH_POLICY=y\n"
        on = {("SecureBoot", GLOBAL): b"\1", ("SetupMode", GLOBAL): b"\0"}
        self.check(self.image, self.no_kexec_load(config=config, efi=on), verdict="refused", code="ENODATA")
        setup = on | {("SetupMode", GLOBAL): b"\1"}
        self.check(self.image, self.no_kexec_load(config=config, efi=setup), verdict="accepted")
        both = Machine(self.directory, config=config.replace("# CONFIG_IMA is not set", "CONFIG_IMA=y"), efi=on)
        self.assertEqual(self.check(self.signed, both)["forecast"]["kexec_load"]["errno"], "EACCES")

    def test_no_signature_checks_in_the_kernel(self):
        config = ENFORCING.replace("CONFIG_KEXEC_SIG=y\n", "").replace("CONFIG_KEXEC_SIG_FORCE=y\n", "")
        self.check(self.image, self.no_kexec_load(config=config), verdict="accepted")
        # Debian's arm64 kernels: no kexec_file_load at all.
        config = "CONFIG_ARM64=y\nCONFIG_KEXEC=y\n"
        self.assertEqual(self.check(self.image, Machine(self.directory, config=config))["syscall"], "kexec_load")
        document = self.check(self.signed, Machine(self.directory, config=config, lockdown="integrity"),
                              verdict="refused", code="ENOSYS")
        self.assertIn("CONFIG_KEXEC_FILE", document["next_step"])

    def test_kernel_cannot_verify_this_kind(self):
        config = ENFORCING.replace("CONFIG_KEXEC_IMAGE_VERIFY_SIG=y\n", "")
        self.check(self.signed, self.no_kexec_load(config=config), *self.cert("alice"), verdict="refused",
                   code="EKEYREJECTED")

    def test_algorithms_the_kernel_lacks(self):
        def lacks(config="", crypto="name         : sha256\ndriver       : sha256-generic\n\nname         : rsa\n"):
            machine = self.no_kexec_load(config=ENFORCING + config)
            machine.write("proc/crypto", crypto)
            return machine
        signed = self.sign(self.image, "carol")
        document = self.check(signed, lacks(), *self.cert("carol"), verdict="refused", code="ENOENT")
        self.assertIn("EC prime256v1", document["signatures"][0]["problem"])
        # There, or where it comes from is known, or nothing is known.
        self.check(signed, lacks(crypto="name         : sha256\nname         : ecdsa-nist-p256\n"), *self.cert("carol"),
                   verdict="accepted")
        self.check(signed, lacks("CONFIG_CRYPTO_ECDSA=m\n"), *self.cert("carol"), verdict="accepted")
        self.check(signed, self.no_kexec_load(), *self.cert("carol"), verdict="accepted")
        document = self.check(self.signed, lacks(crypto="name         : rsa\n"), *self.cert("alice"), verdict="refused",
                              code="ENOPKG")
        self.assertIn("cannot compute sha256", document["signatures"][0]["problem"])

    def test_trust_comes_before_the_digest(self):
        path = self.path("changed-and-untrusted")
        path.write_bytes(changed(self.signed.read_bytes(), TEXT))
        stranger = self.no_kexec_load(keys=self.KEYRINGS + self.key_line("bob"))
        document = self.check(path, stranger, verdict="refused", code="ENOKEY")
        self.assertIn("changed after it was signed", document["signatures"][0]["problem"])
        known = self.no_kexec_load(keys=self.KEYRINGS + self.key_line("alice"))
        self.check(path, known, *self.cert("alice"), verdict="refused", code="EKEYREJECTED")

    def test_secure_boot_as_the_stub_left_it(self):
        config = LAX + "CONFIG_IMA_ARCH_POLICY=y\n"
        for mode, code in [(3, "ENODATA"), (2, None), (0, None)]:
            machine = self.no_kexec_load(config=config)  # without EFI variables
            machine.write("sys/kernel/boot_params/data", bytes(0x1EC) + bytes([mode]) + bytes(0xE13))
            self.check(self.image, machine, verdict="refused" if code else "accepted", code=code)

    def test_other_architecture(self):
        path = self.path("bzImage")
        path.write_bytes(make_image(x86=True))
        self.check(path, Machine(self.directory), verdict="refused", code="EINVAL")

    def test_bzimage_that_the_kernel_cannot_enter(self):
        """Asked before any signature."""
        config = ENFORCING.replace("CONFIG_ARM64", "CONFIG_X86_64").replace("KEXEC_IMAGE_VERIFY", "KEXEC_BZIMAGE_VERIFY")
        for name, xloadflags, code in [("good", 0x7F, None), ("entry-32", 0x7E, "ENOEXEC"), ("below-4g", 0x7D, "ENOEXEC")]:
            path = self.path(name)
            path.write_bytes(make_image(x86=True, xloadflags=xloadflags))
            document = self.check(self.sign(path, "alice"), self.no_kexec_load(config=config), *self.cert("alice"),
                                  verdict="refused" if code else "accepted", code=code)
            self.assertEqual(bool(code), "xloadflags" in " ".join(document["forecast"]["kexec_file_load"]["reasons"]))

    def test_nothing_known(self):
        machine = Machine(self.directory)
        shutil.rmtree(machine.root)
        machine.root.mkdir()
        document = self.check(self.signed, machine, *self.cert("alice"), verdict="unknown")
        self.assertIsNone(document["kernel"]["secure_boot"])
        self.assertIsNone(document["kernel"]["lockdown"])
        self.assertGreaterEqual(len(document["problems"]), 2)

    # --- images inside images

    def test_big_endian(self):
        path = self.path("be")
        path.write_bytes(make_image(flags=0xB))
        signed = self.sign(path, "alice")
        document = self.check(signed, self.no_kexec_load(), *self.cert("alice"), verdict="unknown")
        self.assertTrue(document["image"]["layers"][0]["big_endian"])
        self.assertEqual(document["signatures"][0]["state"], "valid")
        config = ENFORCING + "CONFIG_CPU_BIG_ENDIAN=y\n"
        self.check(signed, self.no_kexec_load(config=config), *self.cert("alice"), verdict="accepted")

    def test_packed(self):
        path = self.path("Image.gz")
        path.write_bytes(gzip.compress(self.signed.read_bytes()))
        document = self.check(path, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        self.assertEqual([layer["format"] for layer in document["image"]["layers"]], ["gzip data", "Image"])

    def zboot(self, name, inner, signer):
        path = self.path(name)
        path.write_bytes(make_zboot(inner))
        return self.sign(path, signer)

    def test_zboot_needs_its_inner_signature(self):
        outer_only = self.zboot("zboot-a", make_image(), "alice")
        document = self.check(outer_only, self.no_kexec_load(), *self.cert("alice"), verdict="refused", code="ENODATA")
        self.assertEqual([layer["format"] for layer in document["image"]["layers"]], ["EFI zboot", "Image"])
        self.assertEqual((document["signatures"][0]["state"], document["signatures"][0]["decides"]), ("valid", False))
        both = self.zboot("zboot-b", self.signed.read_bytes(), "bob")
        document = self.check(both, self.no_kexec_load(), *self.cert("alice"), verdict="accepted")
        self.assertEqual([s["signers"][0]["subject"] for s in document["signatures"]], ["CN=bob", "CN=alice"])

    def test_no_kernel(self):
        path = self.path("text")
        path.write_text("not a kernel\n" * 100)
        result = run(PROGRAM, "check-image", path, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("not a kernel image", result.stderr)
        self.assertEqual(run(PROGRAM, "check-image", self.path("absent"), check=False).returncode, 1)
        result = run(PROGRAM, "check-image", self.signed, "--cert", path, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("neither a certificate nor a public key", result.stderr)
        self.assertEqual(run(PROGRAM, "check-image", check=False).returncode, 2)

    # --- IMA

    def append_signature(self, name):
        return self.signers[name].append_to(self.image, self.path("appended"))

    def ima_machine(self, rule):
        config = ENFORCING.replace("CONFIG_KEXEC_SIG=y\n", "").replace("# CONFIG_IMA is not set\n", WITH_IMA)
        return self.no_kexec_load(config=config, policy=rule + "\n")

    def test_appended_signature(self):
        machine = self.ima_machine("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig")
        path = self.append_signature("alice")
        document = self.check(path, machine, *self.cert("alice"), verdict="accepted")
        self.assertEqual([(s["kind"], s["state"]) for s in document["signatures"]], [("appended", "valid")])
        self.check(path, machine, *self.cert("bob"), verdict="unknown")
        data = bytearray(path.read_bytes())
        data[TEXT] ^= 1
        path.write_bytes(data)
        document = self.check(path, machine, *self.cert("alice"), verdict="refused", code="EACCES")
        # The message names alice's certificate, whose key did not sign these bytes.
        self.assertEqual(document["signatures"][0]["signers"][0]["trust"]["state"], "untrusted")
        # A rule that asks for security.ima does not take it.
        path = self.append_signature("alice")
        self.check(path, self.ima_machine("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig"), *self.cert("alice"),
                   verdict="refused", code="EACCES")

    def test_appended_signature_beside_an_attribute(self):
        machine = self.ima_machine("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig")
        machine.write("proc/keys", self.KEYRINGS + self.key_line("alice"))
        path = self.append_signature("alice")
        for name, verdict in [("alice", "accepted"), ("bob", "accepted")]:  # the kernel lacks bob's key: not looked at
            self.set_attribute(path, self.signers[name].ima_signature(path))
            self.check(path, machine, *self.cert("alice"), *self.cert("bob"), verdict=verdict)
        self.set_attribute(path, self.signers["alice"].ima_signature(self.image))  # of another file
        self.check(path, machine, *self.cert("alice"), verdict="refused", code="EACCES")

    def test_platform_keys_count_for_rules_about_kexec(self):
        path = self.path("ima-db")
        path.write_bytes(self.image.read_bytes())
        self.set_attribute(path, self.signers["alice"].ima_signature(path))
        for rule, verdict in [("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig", "accepted"),
                              ("appraise uid=0 appraise_type=imasig", "refused")]:
            machine = self.ima_machine(rule)
            machine.write(f"sys/firmware/efi/efivars/db-{DATABASE}",
                          struct.pack("<I", 6) + signature_list(X509, self.signers["alice"].der()))
            self.check(path, machine, verdict=verdict)

    def test_an_unpacked_copy_is_roots_and_on_tmpfs(self):
        path = self.path("copied.gz")
        path.write_bytes(gzip.compress(self.image.read_bytes()))
        for rule, verdict in [("appraise func=KEXEC_KERNEL_CHECK fowner=1234", "accepted"),
                              ("appraise func=KEXEC_KERNEL_CHECK fowner=0", "refused"),
                              ("dont_appraise fsmagic=0x1021994\nappraise fowner=0", "accepted")]:
            self.check(path, self.ima_machine(rule), verdict=verdict)

    def set_attribute(self, path, value):
        try:
            os.setxattr(path, "security.ima", value)
        except PermissionError:
            self.skipTest("setting security.ima needs CAP_SYS_ADMIN")

    def test_ima_signature(self):
        machine = self.ima_machine("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig")
        for name in ("alice", "carol"):
            path = self.path(f"ima-{name}")
            path.write_bytes(self.image.read_bytes())
            self.check(path, machine, verdict="refused", code="EACCES")
            self.set_attribute(path, self.signers[name].ima_signature(path))
            document = self.check(path, machine, *self.cert(name), verdict="accepted")
            self.assertEqual([(s["kind"], s["state"]) for s in document["signatures"]], [("ima", "valid")])
            self.check(path, machine, *self.cert("bob"), verdict="unknown")
            # A bare public key does as well.
            public = self.path(f"{name}.pub")
            run("openssl", "x509", "-in", self.path(f"{name}.pem"), "-pubkey", "-noout", "-out", public)
            public.write_text(run("openssl", "x509", "-in", self.path(f"{name}.pem"), "-pubkey", "-noout").stdout)
            self.check(path, machine, "--cert", public, verdict="accepted")
            attribute = os.getxattr(path, "security.ima")
            data = bytearray(path.read_bytes())
            data[TEXT] ^= 1
            path.write_bytes(data)
            os.setxattr(path, "security.ima", attribute)
            document = self.check(path, machine, *self.cert(name), verdict="refused", code="EACCES")
            self.assertEqual(document["signatures"][0]["state"], "invalid")

    def test_ima_digest(self):
        path = self.path("ima-digest")
        path.write_bytes(self.image.read_bytes())
        digest = bytes.fromhex(run("openssl", "dgst", "-sha256", "-r", path).stdout.split()[0])
        self.set_attribute(path, b"\x04\x04" + digest)
        document = self.check(path, self.ima_machine("appraise func=KEXEC_KERNEL_CHECK"), verdict="accepted")
        self.assertEqual(document["image"]["security_ima"], "digest sha256: matches")
        # A digest is no signature.
        self.check(path, self.ima_machine("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig"), verdict="refused")
        os.setxattr(path, "security.ima", b"\x04\x04" + digest[::-1])
        self.check(path, self.ima_machine("appraise func=KEXEC_KERNEL_CHECK"), verdict="refused", code="EACCES")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
