"""What samples of time say, of one figure on one machine: mode *time*.

The first sample is cold (caches, translations, branch history) and stands apart. Of the others: the
median, both quartiles, and the interval in which the median lies with 95 % by the bootstrap
(Efron 1979; percentiles of the medians of resamples drawn with replacement).
"""
import random

FEWEST, RESAMPLES, CONFIDENCE = 8, 2000, 0.95


class SpreadError(Exception):
    pass


def quantile(ordered, share):
    """Linear between neighbours."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def interval(samples, seed):
    """Of the median; equal for equal samples and seeds, in whatever order they came."""
    draw, ordered = random.Random(seed), sorted(samples)
    medians = sorted(
        quantile(sorted(draw.choices(ordered, k=len(ordered))), 0.5) for _ in range(RESAMPLES)
    )
    outside = (1 - CONFIDENCE) / 2
    return quantile(medians, outside), quantile(medians, 1 - outside)


def summary(samples, seed):
    """{name: number} of samples in the order in which they were taken."""
    cold, *warm = samples
    if len(warm) < FEWEST:
        raise SpreadError(f"{len(warm)} samples after the cold one; {FEWEST} are needed")
    ordered = sorted(warm)
    low, high = interval(warm, seed)
    found = {"median": quantile(ordered, 0.5), "q1": quantile(ordered, 0.25),
             "q3": quantile(ordered, 0.75), "low": low, "high": high, "cold": cold}  # fmt: skip
    return {name: round(value, 1) for name, value in found.items()}


def verdict(a, b):
    """Of two summaries: nothing is said where the intervals meet."""
    if a["low"] <= b["high"] and b["low"] <= a["high"]:
        return "not told apart"
    change = b["median"] / a["median"] - 1
    return f"{'less' if change < 0 else 'more'}: {change:+.1%}"
