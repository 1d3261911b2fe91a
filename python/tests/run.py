"""run.py [PYTEST ARGUMENTS] - the package's tests by pytest; 77, with the reason, where it is missing. Another python3 on
the path may hide the one that Debian's packages are for, so that one is tried too."""
import os
import sys

DEBIAN = "/usr/bin/python3"

try:
    import pytest
except ImportError:
    if os.path.exists(DEBIAN) and os.path.realpath(DEBIAN) != os.path.realpath(sys.executable):
        os.execv(DEBIAN, [DEBIAN, *sys.argv])
    print("skipped: no pytest for", sys.executable)
    sys.exit(77)

here = os.path.dirname(os.path.abspath(__file__))
sys.exit(pytest.main(["-q", "-rs", "-p", "no:cacheprovider", here, *sys.argv[1:]]))
