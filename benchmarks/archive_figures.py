"""What was measured on archives of recordings, for docs/how-to/batch.md."""

from typing import Any

from lowbeam.evaluate.table import markdown_table


def archive_table(measured: dict[str, Any], cluster: dict[str, Any], spans: dict[str, Any]) -> str:
    """How fast an archive is read: by one and two processes, by shell loops, and by a cluster."""
    real, rendered = measured["real"], measured["rendered"]
    names = {"2 processes": "`lowbeam batch --workers 2`", "1 process": "`lowbeam batch --workers 1`",
             "shell loop": "a shell loop of `lowbeam read`", "fer": "a shell loop of `fer`"}  # fmt: skip
    rows = [
        [name, *(f"{one['recordings_per_h'][way]:,} ({one['times_real_time'][way]:.1f} ×)" for one in (real, rendered))]
        for way, name in names.items()
    ]
    share = {name: f"{100 * real['stages'][name]:.0f} %" for name in ("decoding", "faces", "network")}
    slower = real["stages"]["network in batches of 8"] / real["stages"]["network"]
    kills, overhead = cluster["kills"], cluster["overhead"]
    lost = {what: sum(run["killed"].get(what, 0) for run in kills["runs"]) for what in ("machines", "drivers")}
    return (
        f"Recordings an hour (times real time) on two cores, {real['recordings']} recordings of real people and as "
        f"many of rendered ones, {(real['duration_s'] + rendered['duration_s']) / 60:.0f} minutes in all:\n\n"
        f"{markdown_table(['', 'real people', 'rendered people'], rows)}\n\n"
        f"Two processes are {real['two_to_one']:.2f} / {rendered['two_to_one']:.2f} times as fast as one. "
        f"A second run, which finds all of {real['recordings']} read, takes {real['again_s']:.1f} s. The process that "
        f"hands out the work has {measured['driver_mib_of_10000']:.0f} MiB with a list of 10,000 files. Of the time, "
        f"{share['decoding']} goes into decoding, {share['faces']} into finding faces and {share['network']} into the "
        f"network in batches of 32; in batches of 8, as for recordings of eight faces, the network takes {slower:.2f} "
        "times as long.\n\n"
        f"On Ray: {overhead['ray_to_processes_without_start']:.2f} times the time of processes, for "
        f"{overhead['recordings']} recordings of a minute on two cores, without the start, which takes "
        f"{overhead['seconds']['ray of one'] - overhead['seconds']['processes of one']:.1f} s longer. "
        f"{len(kills['runs'])} runs on a cluster of {kills['machines']}, in which {lost['machines']} machines and "
        f"{lost['drivers']} drivers were killed: {sum(run['same'] for run in kills['runs'])} of them left the dataset "
        "of an undisturbed run, byte for byte.\n\n" + _joined(spans) + "\n\n" + _million_hours(measured)
    )


def _joined(spans: dict[str, Any]) -> str:
    """What cuts change."""
    said = [
        f"{spans[people]['valence']['ccc']:.3f} / {spans[people]['arousal']['ccc']:.3f} for {people} people "
        f"({spans[people]['recordings']} recordings, a cut every {spans[people]['span_s']:.0f} s)"
        for people in ("real", "rendered")
    ]
    return (
        f"Spans against a single reading: the CCC of valence / arousal after a cut is {' and '.join(said)}; times and "
        "people are the same."
    )


def _million_hours(measured: dict[str, Any]) -> str:
    """What a large archive would take, from what was measured here."""
    speed = measured["real"]["times_real_time"]["1 process"]
    cores, hours, minutes = 1000, 1_000_000, 10
    took_h = hours / (speed * cores)
    recordings = hours * 60 / minutes
    per_s = 10_000 / measured["driver_s_of_10000"]
    return (
        f"On paper, a million hours of such video on 1,000 cores like these: {took_h:.0f} hours. In recordings of "
        f"{minutes} minutes, the cores ask for {recordings / took_h / 3600:.0f} recordings a second; the process that "
        f"hands them out was seen to manage {per_s:,.0f} a second, with files that fail at once. So the first "
        "bottleneck is the reading itself; the next is the tables that are written at the end, for which each part "
        f"is opened once: at 10 ms for each, as from a distant store, {recordings * 0.01 / 3600:.0f} hours. Divide "
        "such an archive into several datasets."
    )
