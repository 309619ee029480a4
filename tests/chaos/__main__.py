"""The long form: 20,000 recipients and 30 kills, on SQLite with one worker and PostgreSQL with three.

python -m tests.chaos [--recipients 20000] [--kills 30] [--engine sqlite] [--mode drop]

Modes of the mail server: drop, refuse, greylist, stall, close. Of the database: away (PostgreSQL stopped at
once and started again; a locked file of SQLite) and full (its disk; needs root). Several with commas.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.chaos.grounds import ground
from tests.chaos.run import Story, play


def main() -> int:
    """Play the story on each engine and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--troubles", type=int, default=5, help="of the database, in mode away or full")
    parser.add_argument("--rate", type=int, default=0, help="mails a second of each worker")
    parser.add_argument("--mode", default="")
    chosen = parser.parse_args()
    failed = False
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with (
            tempfile.TemporaryDirectory(prefix="newsletter-chaos-") as name,
            ground(engine, chosen.mode, chosen.recipients) as found,
        ):
            story = Story(
                ground=found, recipients=chosen.recipients, kills=chosen.kills, troubles=chosen.troubles,
                mode=chosen.mode, workers=3 if engine == "postgresql" else 1,
                connections=chosen.connections, rate=chosen.rate, seconds=chosen.seconds,
            )  # fmt: skip
            outcome = play(story, Path(name))
            if "CHAOS_LOG" in os.environ:
                sys.stderr.write((Path(name) / "workers.log").read_text(encoding="utf-8"))
        sys.stdout.write(f"{engine}: {outcome}\n")
        allowed = outcome.kills * chosen.connections
        listed = outcome.uncertain <= allowed or bool({"drop", "stall"} & set(chosen.mode.split(",")))
        is_well = outcome.is_true and outcome.campaign == "sent"
        failed |= bool(outcome.lost or outcome.doubled or not listed or not is_well)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
