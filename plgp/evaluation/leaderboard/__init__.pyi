from .entries import Entry as Entry
from .entries import find_entries as find_entries
from .page import write_leaderboard as write_leaderboard
