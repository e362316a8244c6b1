"""Starts the appliance on a machine that has only Python: `python launcher.py`.

The first time it makes `.venv` beside this file and installs the pinned packages; later it hands
over at once. Everything but `test` goes on to `appliance.cli`; `test` runs the test suite.

Any Python must be able to read this file, however old, to say that it is too old: types stand in
comments, because Python 2, which is still the `python` of some systems, knows no others.
"""

import os
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def refusal(version):
    # type: (tuple[int, ...]) -> str | None
    """The sentence for a Python that cannot run this, or None."""
    if OLDEST <= version[:2] <= NEWEST:
        return None
    return (
        "Python 3.11, 3.12 or 3.13 is needed; this is %d.%d.%d. "
        "Get it from https://www.python.org/downloads/" % version[:3]
    )


def main(arguments):
    # type: (list[str]) -> int
    """Returns an exit status, unless the process becomes the appliance (everywhere but Windows)."""
    sentence = refusal(sys.version_info[:3])
    if sentence:
        sys.stderr.write(sentence + "\n")
        return 1
    root = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, root)
    from appliance.install.handover import launch

    return launch(root, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
