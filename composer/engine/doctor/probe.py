"""Whether libraries can be imported, and what torch finds: asked in a process of its own.

What is broken may end a process, and torch takes seconds; so composer's own stays out of it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

_MARK = "composer doctor: "
_SECONDS = 300  # a first import from a cold network disk may take minutes
_BEGIN = f"""\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
def tell(name, value):
    print({_MARK!r} + json.dumps([name, value]), flush=True)
"""
_IMPORT = """\
tell({name!r}, "it ends the process that imports it")
try:
    import {name}
except BaseException as fault:
    tell({name!r}, type(fault).__name__ + ": " + str(fault)[:300])
else:
    tell({name!r}, None)
"""
_ASK_TORCH = """\
if "torch" in sys.modules:
    from composer.model.accelerators import torch_facts
    tell("", torch_facts())
"""


@dataclass(frozen=True)
class Probed:
    """What a process found.

    Attributes:
        broken: Module -> why it cannot be imported.
        torch: What torch says of the machine; empty where it is not there.
    """

    broken: dict[str, str] = field(default_factory=dict)
    torch: dict[str, object] = field(default_factory=dict)


def probe(modules: Sequence[str]) -> Probed:
    """Import modules in a process of its own.

    Args:
        modules: That are installed, in the order in which they are tried.
    """
    code = _BEGIN + "".join(_IMPORT.format(name=name) for name in modules) + _ASK_TORCH
    command = [sys.executable, "-c", code, json.dumps(sys.path)]
    try:
        run = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        output = run.stdout
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    told: dict[str, object] = {}
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            name, value = json.loads(line.removeprefix(_MARK))
            told[name] = value
    facts = told.pop("", {})
    broken = {name: fault for name, fault in told.items() if isinstance(fault, str)}
    return Probed(broken, facts if isinstance(facts, dict) else {})
