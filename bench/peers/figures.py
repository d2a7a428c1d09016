# SPDX-License-Identifier: Apache-2.0
"""Medians, spreads, factors. Pure."""
import math


def quantile(values, q):
    """Linear between the two nearest; values need not be sorted."""
    v = sorted(values)
    if not v:
        return math.nan
    at = q * (len(v) - 1)
    low = int(at)
    high = min(low + 1, len(v) - 1)
    return v[low] + (v[high] - v[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def spread(values):
    """Interquartile range over the median."""
    m = median(values)
    return (quantile(values, 0.75) - quantile(values, 0.25)) / m if m else math.nan


def geomean(values):
    v = list(values)
    return math.exp(sum(map(math.log, v)) / len(v)) if v else math.nan


def factor(of, to):
    """How many times slower `of` is than `to`: the median of the quotients of passes, since both of a
    pass saw the machine in the same state."""
    return median([a / b for a, b in zip(of, to)])


def noise(again, own):
    """The noise floor of a point, from a contender against itself: how far its median quotient is from
    one, or half the range of the middle half of them, whichever is more."""
    quotients = [a / b for a, b in zip(again, own)]
    half = (quantile(quotients, 0.75) - quantile(quotients, 0.25)) / 2
    return max(abs(median(quotients) - 1), half)


def behind(ratio, noise):
    """Whether a peer that takes `ratio` times as long as normgen is ahead beyond the noise floor."""
    return ratio < 1 - noise
