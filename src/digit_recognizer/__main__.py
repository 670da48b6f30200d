"""`python -m digit_recognizer` is the command `digits`."""

from digit_recognizer.cli import main

main()
