"""A process that draws figures from an npz and has nothing else: a line in names a study and a file, a line out tells.

No dataset is opened, no host is called and nothing is trained; an attempt is an error. Out goes a JSON object, from
file name to the digest of what the figure or the page shows.
"""

import importlib
import json
import sys
from pathlib import Path

import jax

from experiments import study
from tests import figures

FORBIDDEN = ("digits.csv", "-ubyte")  # the files of both datasets


def _refuse(event, arguments):
    if event == "socket.connect" or event == "open" and any(name in str(arguments[0]) for name in FORBIDDEN):
        raise RuntimeError(f"a figure wants {event} {arguments[0]}")


def shown(drawings, folder):
    pages = {path.name: figures.page(path) for path in folder.glob("*.html")}
    return {name: figures.digest(content) for name, content in (drawings | pages).items()}


def draw(of, npz):
    list(of.draw(study.read(of, npz)))


def main():
    sys.addaudithook(_refuse)
    jax.stages.Compiled.__call__ = None
    for line in sys.stdin:
        module, npz = line.split()
        try:
            with figures.drawn() as drawings:
                draw(importlib.import_module(f"experiments.{module}").STUDY, Path(npz))
            answer = shown(drawings, Path(npz).parent)
        except Exception as error:  # told as this study's; the next ones are drawn all the same
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
