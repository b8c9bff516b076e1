"""The command ``saewidgets``."""

from __future__ import annotations

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="saewidgets", description="Open a language model with a sparse autoencoder.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch-demo", help="install and convert the demo model, once")
    parser.parse_args(argv)
    from saewidgets.demos import demo
    from saewidgets.demos.model import fetch

    try:
        folder = fetch()
        verdict = demo().trust().summary  # measured now and cached, so that the first heatmap need not wait for it
        print(
            f"The demo model is ready in {folder}\n{verdict}\nTry: import saewidgets as sw; sw.demo().heatmap('Hello')"
        )
    except (OSError, RuntimeError, ValueError) as error:
        print(f"saewidgets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
