"""Hostile inputs: mutants of good files, read in children that may die, and what came of each.

`seeds` makes the originals, `mutants` damages them (by `tree`, `ebml` and `boxes`), `child` reads them, `watch` judges
what comes of it, and `campaign` does all of it as a command.
"""
