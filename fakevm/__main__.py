"""`fakevm`, which is `python -m fakevm`, too."""

from fakevm import cli


def main() -> None:
    """Import the command line and run it."""
    try:
        run = cli.root.main
    except KeyboardInterrupt:
        # Nothing has begun.
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
