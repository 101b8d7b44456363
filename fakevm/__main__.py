"""`fakevm`, which is `python -m fakevm`, too."""


def main() -> None:
    """Import the command line and run it."""
    try:
        from fakevm.cli.root import main as run
    except KeyboardInterrupt:
        # Nothing has begun.
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
