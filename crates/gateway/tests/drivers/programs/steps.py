"""Steps of a program: each says what it sees, in words that are the same in every run."""

import hashlib
import os
import re
import sys
import traceback

STEPS = []
PORT = os.environ["PGPORT"]


def step(function):
    STEPS.append(function)
    return function


def say(*things):
    print(*(hide(thing) if isinstance(thing, str) else thing for thing in things), flush=True)


def say_own(*things):
    """Says what may be otherwise where sessions share servers."""
    print("~", *(hide(thing) if isinstance(thing, str) else thing for thing in things), flush=True)


def hide(text):
    """Takes away what differs from run to run: the port, and numbers of processes and sessions."""
    text = text.replace(PORT, "PORT")
    return re.sub(r"(process|PID|pid) \d+", r"\1 N", text)


def digest(data):
    if isinstance(data, str):
        data = data.encode()
    return f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}"


def arguments(names):
    return [function for function in STEPS if not names or function.__name__ in names]


def unexpected(name):
    """An error that the step did not ask for: the comparison must not pass because of it."""
    say("UNEXPECTED in", name)
    traceback.print_exc()
    sys.exit(1)


def run():
    for function in arguments(sys.argv[1:]):
        say("##", function.__name__)
        try:
            function()
        except Exception:
            unexpected(function.__name__)
