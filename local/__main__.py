"""The local stack's command line: `python -m local --help`."""

import os

import click

from local import dynamodb


@click.group()
def main() -> None:
    """Everything that runs on a laptop, in parts or whole."""


@main.command("dynamodb")
@click.option("--port", envvar="DYNAMODB_PORT", default=8001, show_default=True)
@click.option("--no-tables", is_flag=True, help="Only the engine; the tables are made elsewhere.")
def run_dynamodb(port: int, *, no_tables: bool) -> None:
    """Run a DynamoDB on loopback, with the tables."""
    dynamodb.serve(
        port, None if no_tables else dynamodb.Tables("reservations", "state"), os.environ
    )


main()
