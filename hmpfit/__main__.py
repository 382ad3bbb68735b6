"""`python -m hmpfit`: the command where its script is not on the path."""

from hmpfit.command_line.main import main

if __name__ == "__main__":
    main()
