"""A signature is of the manifest's bytes, by one key; nothing else is taken for one."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from composer.bundle.reader import open_bundle
from composer.bundle.signing import needs_password, sign_manifest, signature_beside
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError, MissingExtraError
from tests.bundle.content import change_manifest, make_bundle

# The library's own warnings are no concern of a user's.
pytestmark = pytest.mark.filterwarnings("ignore")


def write_keys(folder: Path, name: str, *, password: str | None = None) -> tuple[Path, Path]:
    """Write a pair of keys; give the private and the public one."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(_private_bytes(key, password))
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def _private_bytes(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str | None = None
) -> bytes:
    locked = serialization.NoEncryption()
    if password is not None:
        locked = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A folder with home, home.sig, and the keys of who signed it."""
    make_bundle(tmp_path / "home")
    private, _ = write_keys(tmp_path, "who")
    sign_manifest(_manifest(tmp_path), key=private, signature=tmp_path / "home.sig")
    return tmp_path


def _manifest(folder: Path) -> bytes:
    return (folder / "home" / "manifest.json").read_bytes()


def test_a_signed_bundle_is_opened_as_a_folder_and_as_its_zip(signed: Path):
    pack_bundle(signed / "home", signed / "home.zip")
    for name in ("home", "home.zip"):
        assert signature_beside(signed / name) == signed / "home.sig"
        assert open_bundle(signed / name, public_key=signed / "who.pub.pem").manifest.parts
    (signed / "home.sig").rename(signed / "elsewhere.sig")
    opened = open_bundle(
        signed / "home", public_key=signed / "who.pub.pem", signature=signed / "elsewhere.sig"
    )
    assert opened.manifest.parts


def test_another_content_is_refused(signed: Path):
    change_manifest(signed / "home", lambda values: values.update(composer="6.6.6"))
    assert open_bundle(signed / "home").manifest.composer == "6.6.6"
    with pytest.raises(BundleError, match=r"home.sig is no signature of it by .*who.pub.pem"):
        open_bundle(signed / "home", public_key=signed / "who.pub.pem")


def test_another_key_is_refused(signed: Path):
    write_keys(signed, "other")
    with pytest.raises(BundleError, match=r"is no signature of it by .*other.pub.pem"):
        open_bundle(signed / "home", public_key=signed / "other.pub.pem")


def test_a_missing_signature_or_key_is_refused(signed: Path):
    with pytest.raises(BundleError, match="there is no public key"):
        open_bundle(signed / "home", public_key=signed / "nobody.pem")
    (signed / "home.sig").unlink()
    with pytest.raises(BundleError, match=r"a signature was asked for, and there is no signature"):
        open_bundle(signed / "home", public_key=signed / "who.pub.pem")
    assert open_bundle(signed / "home")  # nobody asked


def test_a_signature_without_a_key_says_nothing(signed: Path):
    with pytest.raises(BundleError, match="says nothing without the public key"):
        open_bundle(signed / "home", signature=signed / "home.sig")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff\xfe", b"[]", b'{"mediaType": 1}', b"{" * 10_000, b"0" * 2**21]
)
def test_what_is_no_signature_is_refused(signed: Path, data: bytes):
    (signed / "home.sig").write_bytes(data)
    with pytest.raises(BundleError, match=r"home.sig (is no signature|has 2,097,152 bytes)"):
        open_bundle(signed / "home", public_key=signed / "who.pub.pem")


def test_a_signature_with_any_changed_byte_of_its_content_is_refused(signed: Path):
    whole = (signed / "home.sig").read_bytes()
    start = whole.index(b'"payload"') + 12
    for at in range(start, start + 400, 37):
        data = bytearray(whole)
        data[at] = ord("A") if data[at] != ord("A") else ord("B")
        (signed / "home.sig").write_bytes(data)
        with pytest.raises(BundleError, match="is no signature of it"):
            open_bundle(signed / "home", public_key=signed / "who.pub.pem")


def test_a_damaged_part_is_refused_though_the_signature_is_right(signed: Path):
    part = signed / "home" / "parts" / "intent.safetensors"
    part.write_bytes(part.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError, match="intent.safetensors is damaged"):
        open_bundle(signed / "home", public_key=signed / "who.pub.pem")


def test_a_key_that_cannot_sign_is_refused(signed: Path):
    (signed / "rsa.pem").write_bytes(_private_bytes(rsa.generate_private_key(65537, 2048)))
    (signed / "text.pem").write_text("hunter2")
    for name in ("rsa.pem", "text.pem", "who.pub.pem"):
        with pytest.raises(BundleError, match=rf"{name}: cannot sign with it: .*PEM, and its") as e:
            sign_manifest(b"{}", key=signed / name, signature=signed / "new.sig")
        assert "hunter2" not in str(e.value)
    with pytest.raises(BundleError, match="missing.pem cannot be read"):
        sign_manifest(b"{}", key=signed / "missing.pem", signature=signed / "new.sig")
    assert not (signed / "new.sig").exists()


def test_an_encrypted_key_signs_with_its_password_only(signed: Path):
    private, public = write_keys(signed, "locked", password="hünter2")
    assert needs_password(private)
    assert not needs_password(signed / "who.pem")
    target = signed / "home.sig"
    sign_manifest(_manifest(signed), key=private, signature=target, password="hünter2")
    assert open_bundle(signed / "home", public_key=public).manifest.parts
    for wrong in ("hunter2", "", None):
        with pytest.raises(BundleError, match="locked.pem: cannot sign with it") as told:
            sign_manifest(_manifest(signed), key=private, signature=target, password=wrong)
        assert "hunter2" not in str(told.value)


def test_only_a_signature_is_replaced_by_one(signed: Path):
    (signed / "mine.txt").write_text("mine")
    for target in (signed / "mine.txt", signed / "who.pub.pem"):
        with pytest.raises(BundleError):
            sign_manifest(b"{}", key=signed / "who.pem", signature=target)
    (signed / "mine.json").write_text("{}")
    with pytest.raises(BundleError, match="is there, and is no signature"):
        sign_manifest(b"{}", key=signed / "who.pem", signature=signed / "mine.json")
    assert (signed / "mine.txt").read_text() == "mine"
    change_manifest(signed / "home", lambda values: values.update(composer="0.1.1"))
    sign_manifest(_manifest(signed), key=signed / "who.pem", signature=signed / "home.sig")
    assert open_bundle(signed / "home", public_key=signed / "who.pub.pem").manifest


def test_without_the_extra_the_line_that_installs_it_is_told(
    signed: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'adapter-composer\[sign\]'"):
        open_bundle(signed / "home", public_key=signed / "who.pub.pem")
    with pytest.raises(MissingExtraError, match=r"pip install 'adapter-composer\[sign\]'"):
        sign_manifest(b"{}", key=signed / "who.pem", signature=signed / "new.sig")


def test_bundles_are_opened_without_the_extra(signed: Path):
    code = (
        "import sys\nsys.modules['model_signing'] = None\n"
        "from composer.bundle.reader import open_bundle\nopen_bundle(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(signed / "home")], check=True)


def test_the_librarys_own_command_verifies_the_signature(signed: Path):
    def verify() -> int:
        command = (
            *(sys.executable, "-m", "model_signing", "verify", "key"),
            *(str(signed / "home" / "manifest.json"), "--signature", str(signed / "home.sig")),
            *("--public_key", str(signed / "who.pub.pem")),
        )
        return subprocess.run(command, capture_output=True).returncode

    assert verify() == 0
    change_manifest(signed / "home", lambda values: values.update(composer="6.6.6"))
    assert verify() != 0
