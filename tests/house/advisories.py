"""Look the installed packages up in the list of advisories of the package index, and say how many could be found.

pip-audit calls packages that the index does not tell of "no known vulnerabilities"; this says that they were not looked
up. Ends with 1 only where there is an advisory.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECONDS = 300
Package = Mapping[str, Any]


def sentence(packages: Sequence[Package]) -> str:
    """Say what was found; the advisories one a line."""
    looked_up = [package for package in packages if "skip_reason" not in package]
    advisories = [
        f"{package['name']} {package['version']}: {advisory['id']}; mended in {', '.join(advisory['fix_versions'])}"
        for package in looked_up
        for advisory in package["vulns"]
    ]
    counted = f"advisories: {len(looked_up)} of {len(packages)} packages looked up, {len(advisories)} advisories"
    return "\n".join(
        [counted if looked_up else f"{counted}: no list of advisories can be reached from here", *advisories]
    )


def main() -> int:
    """Run pip-audit on this environment."""
    program = Path(sys.executable).with_name("pip-audit")
    command = [program, "--local", "--skip-editable", "--progress-spinner=off", "--timeout=5", "--format=json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        sys.stdout.write("advisories: no list of advisories can be reached from here; nothing was looked up\n")
        return 0
    sys.stdout.write(sentence(packages) + "\n")
    return int(any(package.get("vulns") for package in packages))


if __name__ == "__main__":
    sys.exit(main())
