"""Store the outputs of models and pretrainers: ``python tests/stored/record.py [name ...]``.

Without names, everything is recorded and files of what is no longer registered are removed. Say in the commit message
why outputs changed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "contract"), str(HERE.parents[1] / "src")]
os.environ.setdefault("PALATE_PROGRESS", "quiet")


def record(wanted: list[str]) -> None:
    """Write the files of ``wanted``, of everything when empty."""
    from stored_compare import differences
    from stored_outputs import Outputs, file_of, names, read, stored, write

    from palate.features import default_encoders

    # as in all tests: pictures are read by the built-in descriptors, whatever is installed here
    default_encoders.PACKAGES["efficientnet_lite0"] = (("left_out_in_tests",), "pictures")
    if unknown := sorted(set(wanted) - set(names())):
        sys.exit(f"not registered: {', '.join(unknown)}; registered: {', '.join(names())}")
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(Path(folder))
        for name in wanted or names():
            old, new = read(name) if name in stored() else None, outputs.of(name)
            lines = ["new"] if old is None else differences(old, new)
            if lines:
                write(name, new)
            print(
                f"{name}: {f'{len(lines)} differences, recorded' if old else 'recorded'}" if lines else f"{name}: same"
            )
            for line in lines[:5] if old else ():
                print(f"  {line}")
    for name in () if wanted else sorted(set(stored()) - set(names())):
        file_of(name).unlink()
        print(f"{name}: removed")


if __name__ == "__main__":
    record(sys.argv[1:])
