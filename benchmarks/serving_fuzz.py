"""Random requests made from the API's description, and hostile uploads: how many, and that none causes a server error.

python benchmarks/serving_fuzz.py --examples 300
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version

from _common import ROOT, keep
from palate.training.saving import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="requests a route")
    args = parser.parse_args()
    rows = {
        "routes": run("tests/serving/test_fuzz.py", PALATE_FUZZ=str(args.examples)),
        "uploads": run("tests/serving/test_uploads.py"),
    }
    result = {
        "command": f"python benchmarks/serving_fuzz.py --examples {args.examples}",
        "examples_a_route": args.examples,
        **rows,
        "versions": versions() | {"schemathesis": version("schemathesis")},
    }
    keep("serving_fuzz", result, table(result))
    if any(row["exit"] for row in rows.values()):
        raise SystemExit("a test failed")


def run(tests: str, **environment: str) -> dict[str, object]:
    """Run tests.

    Args:
        tests: file of the tests.
        environment: additional environment variables.

    Returns:
        Counts, exit status and seconds.
    """
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", tests]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    print(done.stdout[-3000:])
    passed = done.stdout.count(".", 0, done.stdout.find("[100%]")) if done.returncode == 0 else 0
    failed = len(set(re.findall(r"^FAILED (\S+)", done.stdout, flags=re.M)))
    return {
        "tests": tests,
        "passed": passed,
        "failed": failed,
        "exit": done.returncode,
        "seconds": round(time.monotonic() - started, 1),
    }


ROUTES = (
    "up to {} requests for each of {} endpoints, valid and invalid, generated from the OpenAPI description by "
    "schemathesis: no 5xx, statuses, types and bodies as described"
)
UPLOADS = (
    "the corpus of broken and hostile images (more than 60), added as items and searched by; ids that look like paths: "
    "an error or an image, no file outside the store, memory within 200 MiB"
)


def table(result: dict) -> str:
    routes = result["routes"]
    routes_text = ROUTES.format(result["examples_a_route"], routes["passed"] + routes["failed"])
    lines = [
        "# Hostile requests",
        "",
        f"`{result['command']}`",
        "",
        "| what | tests | failed | seconds |",
        "|---|---|---|---|",
    ]
    for what, row in ((routes_text, routes), (UPLOADS, result["uploads"])):
        lines.append(f"| {what} | {row['passed']} | {row['failed']} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
