"""python -m batchsum"""

from batchsum.cli.main import entry

if __name__ == "__main__":
    entry()
