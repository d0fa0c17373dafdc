#!/bin/sh
# Every command of the program is a command of the image: `docker run IMAGE serve --id 1`, `docker run IMAGE kv get x`.
# Flags alone are those of a node: `docker run IMAGE --id 1`.
set -eu
case "${1:-}" in
  -h | --help | -V | --version) ;;
  '' | -*) set -- serve "$@" ;;
esac
exec quorate "$@"
