"""Which cores this process may use, and how to keep it to one."""

import os


def cores() -> list[int]:
    """Those that this process may use; all there are, where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def keep_to(core: int) -> bool:
    """Keep this process, and what it starts, to `core`; whether the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {core})
    return True
