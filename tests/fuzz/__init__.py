"""A fuzz harness: hostile files and options for every reader and command, used in a child process.

`python -m tests.fuzz --cases 5000 --seed 1` is the long run; the quick part and the corpus run with the tests.
SECURITY.md says what is promised and checked.
"""
