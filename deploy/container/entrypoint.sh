#!/bin/sh
# Every command of the program is a command of the image: `docker run IMAGE serve --id 1`, `docker run IMAGE kv get x`.
# Flags alone are those of a node: `docker run IMAGE --id 1`.
set -eu
case "${1:-}" in
  -h | --help | -V | --version) ;;
  '' | -*) set -- serve "$@" ;;
esac
# A dump of the memory of a node holds values, keys and secrets.
ulimit -c 0
exec quorate "$@"
