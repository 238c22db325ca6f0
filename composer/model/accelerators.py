"""What torch finds of accelerators on this machine."""

import torch


def torch_facts() -> dict[str, object]:
    """Say what torch could compute on; for `composer doctor`."""
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "built_for": torch.version.cuda or getattr(torch.version, "hip", None) or "cpu",
        "cuda": cuda,
        "devices": devices,
        "mps": torch.backends.mps.is_available(),
        "bfloat16": bool(cuda and torch.cuda.is_bf16_supported()),
        "threads": torch.get_num_threads(),
    }
