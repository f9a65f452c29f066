"""What a terminal of 80 columns shows of a sweep: halfway and at the end, into benchmarks/results/sweep.txt. The
program is given a pseudo-terminal, and what it writes there is drawn as a terminal would.

python benchmarks/claims/screen.py      (a minute on two cores, no data needed)"""

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "transfer run strategy=scratch,fine_tune data=digits data.shots=5 trainer.steps=200 --seeds 3 -j 2"
ROWS, COLUMNS = 24, 80
REDRAWN = "\r\x1b[2K"  # how rich begins to draw anew
PART = re.compile(r"\x1b\[(\d*)([A-Z])|\x1b\[[?\d;]*[a-z]|[\r\n]|[^\x1b\r\n]+")


class Page:
    """A terminal without end, as far as rich needs one: text, line ends, cursor up, a line erased."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def write(self, text: str) -> None:
        for part in PART.finditer(text):
            count, letter = part.groups()
            if part[0] == "\r":
                self.column = 0
            elif part[0] == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif letter == "A":
                self.row -= int(count or 1)
            elif letter == "K":
                self.lines[self.row] = ""
            elif not part[0].startswith("\x1b"):
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + part[0] + line[self.column + len(part[0]) :]
                self.column += len(part[0])

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).strip("\n")


def shown(command: list[str], folder: str) -> str:
    """Everything that `command` writes to its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "xterm", "NO_COLOR": "1", "TRANSFER_OFFLINE": "1"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment)
    os.close(theirs)
    found = b""
    try:
        while chunk := os.read(ours, 65536):
            found += chunk
    except OSError:  # the last to have the terminal open has gone
        pass
    if process.wait():
        sys.exit(f"{shlex.join(command)} [{process.returncode}]\n{found.decode(errors='replace')}")
    return found.decode().replace("\r\n", "\n")


def main() -> None:
    argv = shlex.split(COMMAND)
    with tempfile.TemporaryDirectory() as folder:
        written = shown([str(Path(sys.executable).with_name(argv[0])), *argv[1:]], folder)
    page, frames = Page(), []
    for part in written.split(REDRAWN):
        page.write(REDRAWN * bool(frames) + part.replace("\n", "\r\n"))
        frames.append(page.text())
    running = [frame for frame in frames if " running" in frame and " done" in frame]
    text = f"$ {COMMAND}\n{running[len(running) // 2]}\n\n# at the end\n{page.text()}\n"
    (RESULTS / "sweep.txt").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
