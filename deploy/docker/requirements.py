"""Prints requirements for pip, one a line: `python deploy/docker/requirements.py base openvino`.

The lists are those of pyproject.toml, so an image holds what the launcher would install.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from appliance.install.project import Project  # noqa: E402 - the path comes first


def main(groups: list[str]) -> int:
    lists = Project(ROOT).lists
    unknown = [group for group in groups if group not in lists]
    if unknown or not groups:
        print(f"no such list: {unknown}; there are {sorted(lists)}", file=sys.stderr)
        return 1
    print("\n".join(item for group in groups for item in lists[group]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
