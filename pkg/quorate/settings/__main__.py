"""`python -m quorate.settings` prints the sample file that explains every setting."""

import sys

from .document import sample

if __name__ == "__main__":
    sys.stdout.write(sample())
