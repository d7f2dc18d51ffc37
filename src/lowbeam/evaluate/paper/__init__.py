"""The paper's experiment carried out: trained, tested, its claims judged, and a page written of it."""
