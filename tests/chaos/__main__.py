"""The long form: 20,000 recipients and 30 kills, on SQLite with one worker and PostgreSQL with three.

python -m tests.chaos [--recipients 20000] [--kills 30] [--engine sqlite] [--mode drop]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Story, play
from tests.support.postgres import Postgres, clear_away


def main() -> int:
    """Play the story on each engine and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument(
        "--mode", default="", help="drop, refuse, greylist, stall, close; or several, with commas"
    )
    chosen = parser.parse_args()
    failed = False
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="newsletter-chaos-") as name:
            folder, server = Path(name), Path(name).with_name(f"{Path(name).name}-postgresql")
            try:
                url = f"sqlite:///{folder}/newsletter.db"
                if engine == "postgresql":
                    made = Postgres(server, "chaos").create()
                    url = made.render_as_string(hide_password=False)
                story = Story(
                    database_url=url, recipients=chosen.recipients, kills=chosen.kills, mode=chosen.mode,
                    workers=3 if engine == "postgresql" else 1, connections=chosen.connections,
                    seconds=chosen.seconds,
                )  # fmt: skip
                outcome = play(story, folder)
            finally:
                clear_away(server)
        sys.stdout.write(f"{engine}: {outcome}\n")
        allowed = outcome.kills * chosen.connections
        listed = outcome.uncertain <= allowed or bool({"drop", "stall"} & set(chosen.mode.split(",")))
        failed |= bool(outcome.lost or outcome.doubled or not listed or not outcome.is_true)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
