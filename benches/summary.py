#!/usr/bin/env python3
"""Print what benches/gpu.sh recorded: rates side by side, and each kernel's share of a token's time.

    benches/summary.py fixtures/bench/2026-01-31-h100
"""
import collections
import csv
import json
import pathlib
import sys


def rates(folder):
    """Every record's mean rates, by model, test and engine."""
    table = collections.defaultdict(lambda: collections.defaultdict(list))
    for path in sorted(folder.glob("*-*-[12].json")):
        engine, size, _ = path.stem.rsplit("-", 2)
        for row in json.loads(path.read_text()):
            test = f"tg{row['n_gen']}" + (f" @ d{row['n_depth']}" if row["n_depth"] else "")
            table[size, test][engine].append((row["avg_ts"], row["stddev_ts"]))
    return table


def kernels(path):
    """Launches, time and bytes of each kernel and grid, from the profiler's table."""
    launches = collections.defaultdict(dict)
    with open(path) as lines:
        for row in csv.DictReader(line for line in lines if line.startswith('"')):
            launch = launches[row["ID"]]
            launch["kernel"] = f"{row['Kernel Name']} {row['Grid Size']}"
            launch[row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
    table = collections.defaultdict(lambda: [0, 0.0, 0.0])
    for launch in launches.values():
        entry = table[launch["kernel"]]
        entry[0] += 1
        entry[1] += launch["gpu__time_duration.sum"] / 1e3
        entry[2] += launch["dram__bytes_read.sum"]
    return table


def main():
    folder = pathlib.Path(sys.argv[1])
    print((folder / "machine.txt").read_text())
    for (size, test), engines in rates(folder).items():
        for engine, runs in engines.items():
            print(f"{size:6} {test:16} {engine:8} " + "  ".join(f"{mean:8.1f} ± {sd:.1f}" for mean, sd in runs))
    for path in sorted(folder.glob("kernels-*.csv")):
        table = kernels(path)
        total = sum(entry[1] for entry in table.values())
        print(f"\n{path.stem}: {sum(e[0] for e in table.values())} launches, {total:.0f} µs, each alone")
        for kernel, (count, time, size) in sorted(table.items(), key=lambda item: -item[1][1]):
            print(f"{kernel:32} {count:4} x {time / count:7.2f} µs {100 * time / total:5.1f} %  {size / time / 1e6:6.3f} TB/s")


if __name__ == "__main__":
    main()
