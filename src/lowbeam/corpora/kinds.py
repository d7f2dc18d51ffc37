"""Names of the kinds of corpora, as in ``KIND:PATH``: a module that imports nothing, for those who only list them."""

STILL_KINDS = ("ferplus", "faces96")
RECORDING_KINDS = ("avec2016", "afew-va", "aff-wild2", "manifest")
KINDS = (*STILL_KINDS, *RECORDING_KINDS)
