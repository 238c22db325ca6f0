"""The door to `model-signing`: a detached signature of a bundle's manifest.

    home/            the bundle, or home.zip
    home.sig         OpenSSF Model Signing v1.0 of home/manifest.json

The manifest holds the SHA-256 of every other file and is checked against them whenever the
bundle is opened, so its signature is the whole bundle's, and the same for a folder and its zip.
Any tool that knows the format verifies it:

    model_signing verify key home/manifest.json --signature home.sig --public_key who.pub.pem

Keys are elliptic-curve keys in PEM files, with a password or without. A signature is made anew
each time:
its bytes differ, what it says is the same.
"""

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from composer.bundle.files import read_bytes, read_json, write_bytes
from composer.bundle.manifest import MANIFEST
from composer.errors import BundleError, MissingExtraError

_LIMIT = 2**20  # bytes of a key or a signature; one has about a kilobyte


def signature_beside(bundle: Path) -> Path:
    """Say where a bundle's signature lies unless told otherwise.

    >>> signature_beside(Path("out/home.zip")).name
    'home.sig'
    """
    name = bundle.name.removesuffix(".zip")
    return bundle.parent / f"{name}.sig"


def needs_password(key: Path) -> bool:
    """Say whether a private key is encrypted.

    Raises:
        BundleError: It cannot be read.
    """
    return b"ENCRYPTED" in read_bytes(key, _LIMIT)


def sign_manifest(
    manifest: bytes, *, key: Path, signature: Path, password: str | None = None
) -> None:
    """Sign a manifest's bytes.

    Args:
        manifest: Of a bundle that was checked.
        key: Private key, PEM.
        signature: File that is written; only a signature is replaced.
        password: Of a key that is encrypted; it is in no message.

    Raises:
        BundleError: The key cannot be read, or something else is at the signature's place.
        MissingExtraError: `model-signing` is not installed.
    """
    try:
        from model_signing import signing
    except ModuleNotFoundError as error:
        raise _missing() from error
    check_signature_target(signature)
    with tempfile.TemporaryDirectory() as folder:
        file, made, secret = (Path(folder) / name for name in (MANIFEST, "signature", "key"))
        file.write_bytes(manifest)
        secret.touch(mode=0o600)
        secret.write_bytes(read_bytes(key, _LIMIT))
        try:
            config = signing.Config()  # type: ignore[no-untyped-call]
            # The library's hint says str, and what is under it takes bytes only.
            phrase: Any = None if password is None else password.encode()
            config.use_elliptic_key_signer(private_key=secret, password=phrase).sign(file, made)
        except Exception as fault:  # the library and those under it raise what they please
            raise BundleError(
                f"{key}: cannot sign with it: {_first_line(fault)}; give an elliptic-curve key, "
                "PEM, and its password if it has one"
            ) from fault
        write_bytes(signature, made.read_bytes())


def verify_manifest(manifest: bytes, *, key: Path, signature: Path, place: str) -> None:
    """Hold a manifest's bytes to a signature.

    Args:
        manifest: As it was read from the bundle.
        key: Public key of who is trusted, PEM.
        signature: The detached signature.
        place: The bundle, for messages.

    Raises:
        BundleError: The signature is missing, is of other bytes, or of another key.
        MissingExtraError: `model-signing` is not installed.
    """
    try:
        from model_signing import verifying
    except ModuleNotFoundError as error:
        raise _missing() from error
    for path, what in ((key, "public key"), (signature, "signature")):
        if not path.is_file():
            raise BundleError(f"{place}: a signature was asked for, and there is no {what} {path}")
    with tempfile.TemporaryDirectory() as folder:
        file, given, public = (Path(folder) / name for name in (MANIFEST, "signature", "key"))
        file.write_bytes(manifest)
        given.write_bytes(read_bytes(signature, _LIMIT))
        public.write_bytes(read_bytes(key, _LIMIT))
        try:
            config = verifying.Config()  # type: ignore[no-untyped-call]
            config.use_elliptic_key_verifier(public_key=public).verify(file, given)
        except Exception as fault:  # the library and those under it raise what they please
            raise BundleError(
                f"{place}: {signature} is no signature of it by {key}: {_first_line(fault)}"
            ) from fault


def check_signature_target(signature: Path) -> None:
    """Let nothing be overwritten but a signature."""
    if not signature.exists() and not signature.is_symlink():
        return
    if not _looks_signed(signature):
        raise BundleError(f"{signature} is there, and is no signature; give another name")


def keep_signature(signature: Path, target: Path) -> None:
    """Copy a signature from elsewhere; whether it is of a bundle, and whose, is not asked.

    Raises:
        BundleError: It is no signature, or something else is at the target.
    """
    check_signature_target(target)
    if not _looks_signed(signature):
        raise BundleError(f"{signature.name}: what came with the bundle is no signature")
    write_bytes(target, read_bytes(signature, _LIMIT))


def signed_digests(signature: Path) -> set[str]:
    """Tell the SHA-256 of what a signature is of; whether it is good is not asked.

    Raises:
        BundleError: It is no signature.
    """
    try:
        envelope = read_json(signature, _LIMIT)["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        return {str(one["digest"]) for one in statement["predicate"]["resources"]}
    except (ValueError, TypeError, KeyError) as fault:
        raise BundleError(f"{signature} is no signature; sign the bundle again") from fault


def _looks_signed(file: Path) -> bool:
    return "dsseEnvelope" in read_json(file, _LIMIT)  # a Sigstore bundle


def _missing() -> MissingExtraError:
    return MissingExtraError(library="model-signing", needed_for="a signature", extra="sign")


def _first_line(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).splitlines()[0][:200]
