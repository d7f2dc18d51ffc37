"""The kinds of corpora, as in ``KIND:PATH``. This module imports nothing, so that listing them is fast."""

STILL_KINDS = ("ferplus", "faces96")
RECORDING_KINDS = ("avec2016", "afew-va", "aff-wild2", "manifest", "videos")
KINDS = (*STILL_KINDS, *RECORDING_KINDS)
