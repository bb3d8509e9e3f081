"""Draw what a command shows on a real terminal, as an SVG.

``python docs/images/draw_terminal.py OUT.svg [--at SECONDS] [--rows N] [--title TEXT] COMMAND…``
runs the command on a pseudo-terminal of 88 columns and draws the screen when it ends, or as it was
after that many seconds. `pyte` plays the terminal and rich draws.
"""

import argparse
import os
import pty
import select
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS = 88


def record(command: list[str], rows: int, at_s: float) -> pyte.Screen:
    screen = pyte.Screen(COLUMNS, rows)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ["COLORTERM"] = "truecolor"
        os.execvp(command[0], command)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
    until = time.monotonic() + at_s
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        stream.feed(data)
    return screen


def to_text(screen: pyte.Screen) -> Text:
    text = Text()
    lines = [screen.buffer[row] for row in range(screen.lines)]
    while lines and not any(cell.data.strip() for cell in lines[-1].values()):
        lines.pop()
    for line in lines:
        for column in range(screen.columns):
            cell = line[column]
            colour = None if cell.fg == "default" else _colour(cell.fg)
            text.append(cell.data, Style(color=colour, bold=cell.bold, italic=cell.italics))
        text.append("\n")
    return text


def _colour(name: str) -> str:
    is_hexadecimal = len(name) == 6 and all(one in "0123456789abcdef" for one in name)
    return f"#{name}" if is_hexadecimal else name.replace("brown", "yellow")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw what a command shows on a terminal.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--at", type=float, default=120.0)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--title", default="iraas")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    text = to_text(record(options.command, options.rows, options.at))
    console = Console(record=True, width=COLUMNS, file=sys.stderr)
    console.print(Text(f"$ {' '.join(options.command)}", style="bold"))
    console.print(text)
    options.out.write_text(console.export_svg(title=options.title), encoding="utf-8")


if __name__ == "__main__":
    main()
