"""Research on the face finder: lowbeam's beside the one that it used before."""
