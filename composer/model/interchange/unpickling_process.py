"""The process that `unpickling` starts: a pickle on standard input, safetensors on standard output.

Run as a program, never imported: it takes away from itself what a reader does not need.
"""

import json
import os
import struct
import sys

if __name__ == "__main__":  # isolated, so it is told where the parent's packages are
    sys.path[:] = sys.argv[2].split(os.pathsep)

import io  # noqa: E402

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

try:
    import ctypes
    import resource
except ImportError:  # a system without such limits; the hook still stands
    resource = None  # type: ignore[assignment]

TENSORS_LIMIT = 100_000
_MEMORY = 4 * 2**30  # bytes beside what the weights take
_SECONDS = 100  # of the processor
_NETWORK = 0x40000000 | 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER
# What Python tells of itself before it does it, by the first word.
_REFUSED = (
    *("socket", "subprocess", "os", "shutil", "ctypes", "open", "ftplib", "http", "smtplib"),
    *("urllib", "webbrowser", "pty", "fcntl", "signal", "mmap", "tempfile", "glob", "winreg"),
    *("syslog", "import", "exec", "compile", "marshal", "code", "cpython", "sqlite3"),
)


def main(limit: int) -> None:
    """Read tensors and write them.

    Args:
        limit: Bytes that may be written.
    """
    _load_a_little()
    _confine(limit)
    try:
        found = torch.load(sys.stdin.buffer, map_location="cpu", weights_only=True)
    except Exception as fault:  # whatever a stranger's file makes of the reader
        first = str(fault).strip().splitlines()
        told = next((line for line in first if "GLOBAL" in line or "Unsupported" in line), "")
        sys.exit("it is no PyTorch file of weights alone" + (f" ({told.strip()})" if told else ""))
    _write(_checked(found), limit)


def _load_a_little() -> None:
    """Do once what is about to be done, so that all that it imports is there."""
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        _checked(torch.load(file, map_location="cpu", weights_only=True))
        _bytes_of(torch.zeros(1).half().float())


def _confine(limit: int) -> None:
    """Give up network, memory, time, files and other processes, as far as the system lets it."""
    if resource is not None:
        ctypes.CDLL(None).unshare(_NETWORK)  # refused without harm where it is not allowed
        for name, most in (
            (resource.RLIMIT_AS, _address_space() + _MEMORY + 4 * limit),
            (resource.RLIMIT_CPU, _SECONDS),
            (resource.RLIMIT_FSIZE, limit + 2**24),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 16),
            (resource.RLIMIT_NPROC, 0),
        ):
            hard = resource.getrlimit(name)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(name, (least, least))
    sys.addaudithook(_refuse)


def _address_space() -> int:
    """Give the bytes of address space that are taken, of which torch has many gigabytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 2**36


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.partition(".")[0] in _REFUSED:
        os.write(2, f"it tried {event}\n".encode())
        os._exit(3)


def _checked(found: object) -> dict[str, Tensor]:
    if not isinstance(found, dict) or len(found) > TENSORS_LIMIT:
        sys.exit("it is no dictionary of weights by name")
    for name, value in found.items():
        if type(name) is not str or not isinstance(value, torch.Tensor):
            sys.exit(f"{str(name)[:80]!r} in it is a {type(value).__name__}")
        if value.layout != torch.strided or not value.is_floating_point():
            sys.exit(f"{name[:80]!r} in it is {value.dtype}, {value.layout}")
    return found


def _write(tensors: dict[str, Tensor], limit: int) -> None:
    """Write safetensors of float32; a view may be larger than what the file holds of it."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    if end > limit:
        sys.exit(f"its tensors take {end:,} bytes; at most {limit:,} are read")
    text = json.dumps(header).encode()
    sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text)
    for tensor in tensors.values():
        sys.stdout.buffer.write(_bytes_of(tensor.detach().float()))
    sys.stdout.buffer.flush()


def _bytes_of(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().numpy().tobytes())


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except MemoryError:
        sys.exit("it takes more memory than is given")
