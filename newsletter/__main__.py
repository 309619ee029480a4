"""The command line: ``newsletter …`` and ``python -m newsletter …``."""

import logging
import sys

import click
from flask.cli import ScriptInfo

from newsletter import create_app
from newsletter.config import Settings, SettingsInvalid
from newsletter.errors import StartRefused
from newsletter.running.migrations import require_up_to_date
from newsletter.web import logs

#: Commands that go on and on, and tell the log what they do; the others answer on the console.
SERVERS = {"run", "web", "worker"}
#: Commands that bring the database up themselves, do not need it, or tell what is wrong with it.
WITHOUT_DATABASE = {"run", "db", "restore", "doctor"}


def main() -> None:
    """Build the application, check its database, and run one command."""
    arguments = sys.argv[1:]
    command = next((word for word in arguments if not word.startswith("-")), "")
    level = logging.INFO if command in SERVERS else logging.WARNING
    logs.configure(level)
    try:
        app = create_app()
        chosen: Settings = app.config["NEWSLETTER"]
        logs.configure(level if chosen.log_level == "auto" else chosen.log_level, chosen.log_format)
        if command not in WITHOUT_DATABASE and not {"--help", "--version"} & set(arguments) and command:
            with app.app_context():
                require_up_to_date()
        app.cli.help = "A newsletter backend with double opt-in."
        app.cli.main(args=arguments, prog_name="newsletter", obj=ScriptInfo(create_app=lambda: app))
    except StartRefused as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, SettingsInvalid) else 1)


if __name__ == "__main__":
    main()
