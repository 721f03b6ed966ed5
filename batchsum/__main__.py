"""python -m batchsum"""

from batchsum.cli import entry

if __name__ == "__main__":
    entry()
