#!/bin/sh
# penstock.h compiles alone, as C99 and C++11, without a warning; the libraries show no other names.
#   penstock_header_test.sh PENSTOCK.H LIBPENSTOCK.SO LIBPENSTOCK.A
set -eu
header=$1
for language in 'cc -std=c99 -xc' 'c++ -std=c++11 -xc++'; do
  # shellcheck disable=SC2086 # a compiler and its arguments
  $language -Wall -Wextra -Wpedantic -Werror -fsyntax-only -include "$header" /dev/null
done
declared=$(grep -o 'penstock_[a-z_]*(' "$header" | grep -v '^penstock_on_[a-z]*($' | tr -d '(' | sort -u)
shown=$(nm -D --defined-only "$2" | sed -n 's/.* T \([^@]*\).*/\1/p' | sort -u)
[ -n "$shown" ]
for name in $shown; do
  echo "$declared" | grep -qx "$name" || { echo "$name is not in penstock.h"; exit 1; }
done
for name in $(echo "$declared"); do
  echo "$shown" | grep -qx "$name" || { echo "$name is not in the library"; exit 1; }
done
others=$(nm --defined-only "$3" | sed -n 's/.* [TDBR] //p' | grep -v '^penstock_' || true)
[ -z "$others" ] || { echo "the static library shows: $others"; exit 1; }
