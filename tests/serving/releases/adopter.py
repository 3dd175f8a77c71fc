"""Child processes that adopt, poll and roll back until `kill -9`.

Run as `adopter.py HOME SOURCES ROUNDS SEED`: SOURCES is a folder of bundles. Every round forks a child that lives for a
random time, up to three adoptions long; then the parent looks at what is current and prints "OK", or what is wrong.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from prismrec.errors import ArtifactError
from prismrec.retrieval.bundle import Bundle
from prismrec.serving.releases.releases import Releases, ReleaseSettings


def live(home: Path, sources: list[Path], random_: random.Random) -> None:
    releases = Releases(home, sources[0].parent, ReleaseSettings(keep=1, copies=random_.random() < 0.3))
    while True:
        releases.adopt(random_.choice(sources))
        if random_.random() < 0.3:
            try:
                releases.rollback()
            except ArtifactError:
                releases.poll()


def look(home: Path, sources: Path) -> str:
    try:
        release = Releases(home, sources).current()
        manifest = Bundle.open(release.path, verify="full").manifest
    except ArtifactError as error:
        return str(error)
    return "OK" if manifest.created == release.created else "the record and the release differ"


def main(home: Path, folder: Path, rounds: int, seed: int) -> None:
    sources = sorted(path for path in folder.iterdir() if path.is_dir())
    releases = Releases(home, folder)
    releases.start()
    began = time.monotonic()
    for source in sources:
        releases.adopt(source)
    longest = min(max(time.monotonic() - began, 0.2), 0.5)
    for round_ in range(rounds):
        random_ = random.Random(f"{seed} {round_}")
        child = os.fork()
        if child == 0:
            try:
                live(home, sources, random_)
            finally:
                os._exit(1)
        time.sleep(random_.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            sys.exit(f"the child of round {round_} ended by itself")
        print(look(home, folder), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
