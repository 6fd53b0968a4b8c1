#!/bin/sh
# One object in one archive: what the library needs of the tree, with no name outside penstock_* for
# an application to collide with.
#   static_library.sh WHOLE.a OTHER.a ... OUT.a
set -eu
whole=$1
shift
others=
while [ $# -gt 1 ]; do others="$others $1"; shift; done
out=$1
object=$out.o
# shellcheck disable=SC2086 # a list of archives
ld -r -o "$object" --whole-archive "$whole" --no-whole-archive --start-group $others --end-group
objcopy --wildcard --keep-global-symbol='penstock_*' "$object"
rm -f "$out"
ar rcsD "$out" "$object"
rm -f "$object"
