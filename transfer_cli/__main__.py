"""`python -m transfer_cli`: the same as `transfer`."""

import sys

from transfer_cli.cli.main import entry

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # do not import code from the current directory; plugin packages are installed
    entry()
