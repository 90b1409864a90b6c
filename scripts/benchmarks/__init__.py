"""The benchmark behind `scripts/bench`: Sluice beside nginx, haproxy and `ssh -R`, in one run on one machine.

    process       what /proc says of CPU and memory; children that are ended by pid
    lab           the things all contestants share: directories, nginx as upstream, held requests
    contestants/  one class per tunnel: start, stop, pids, port
    load          wrk, and a downloader that costs next to no CPU
    measurements  one function per measurement, each gives a sample
    rounds        who is measured when: interleaved, failures kept apart
    machine       the programs needed, and what the machine is
    tables        medians, laid out
    targets       what was wanted beside what was measured
    report, page  text and JSON; docs/benchmarks.md

Standard library only. What is measured runs in processes of its own; this one only starts, waits and counts.
"""
