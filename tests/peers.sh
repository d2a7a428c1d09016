#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What ./dev bench peers computes from times: grid, statistics, CSV. Nothing is measured.
. "$(dirname "$0")/common.sh"
command -v python3 >/dev/null || not_run 'the arithmetic of ./dev bench peers' 'apt-get install python3-minimal'
PYTHONDONTWRITEBYTECODE=1 python3 "$NORMGEN_SOURCE/tests/test_peers.py" || fail 'tests/test_peers.py'
finish
