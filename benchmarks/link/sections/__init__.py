"""The sections of ``docs/link-measured.md``, each written from its result file."""
