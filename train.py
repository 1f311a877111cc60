"""A thin door to plgp.train."""

from plgp.train import main

if __name__ == "__main__":
    main()
