"""A stand-in for a classifier process: it runs the steps that its first line of input lists.

The line is a JSON list of steps: ``{"heartbeat": {…}}`` sends a heartbeat, ``{"say": "…"}``
writes raw text, ``{"exit": N}`` exits, ``{"kill": N}`` sends itself a signal,
``{"wait": "polite"}`` waits for SIGTERM or for the end of its supervisor, ``{"wait": "deaf"}`` only
for the latter.
"""

import json
import os
import signal
import sys
from typing import Any

last_heartbeat: dict[str, Any] = {"model": "scripted@00000000", "in_flight": []}


def main() -> None:
    steps = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, leave)
    for step in steps:
        do(step)


def do(step: dict[str, Any]) -> None:
    if "heartbeat" in step:
        say(step["heartbeat"])
    elif "say" in step:
        os.write(1, step["say"].encode())
    elif "exit" in step:
        sys.exit(step["exit"])
    elif "kill" in step:
        os.kill(os.getpid(), step["kill"])
    else:
        if step["wait"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say({"empty_polls": 3})
        sys.stdin.read()


def leave(_number: int, _frame: object) -> None:
    say({"draining": True, "in_flight": []})
    os._exit(0)


def say(news: dict[str, Any]) -> None:
    last_heartbeat.update(news)
    os.write(1, json.dumps(last_heartbeat).encode() + b"\n")


main()
