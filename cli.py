"""Launcher for a checkout that is not installed: `python cli.py run video.mp4`."""

from hmpfit.command_line.main import main

if __name__ == "__main__":
    main()
