#!/bin/sh
# sauropod @VERSION@: this script, a Deno and the program's bundle in one file.
#
# The first start unpacks both into a private folder, the next ones go there directly. Another folder:
# SAUROPOD_UNPACK_DIR. What is below @PAYLOAD@ bytes is no text.
set -u
mask=$(umask)
umask 077

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

uid=$(id -u)
if [ -n "${SAUROPOD_UNPACK_DIR:-}" ]; then
  base=$SAUROPOD_UNPACK_DIR
elif [ "$uid" = 0 ]; then
  base=/var/lib/sauropod/.exec
else
  base=${XDG_CACHE_HOME:-${HOME:?is not set: name a folder in SAUROPOD_UNPACK_DIR}/.cache}/sauropod-exec
fi
case $base in
  /*) ;;
  *) base=$(pwd)/$base ;;
esac
folder=$base/@DIGEST@

# Whoever else could write there could run programs as us.
if [ ! -e "$base" ]; then
  mkdir -p "$(dirname "$base")" 2>/dev/null
  mkdir -m 0700 "$base" 2>/dev/null || [ -d "$base" ] ||
    fail "Cannot make $base: name a folder that can be written in SAUROPOD_UNPACK_DIR"
fi
if [ -L "$base" ] || [ "$(stat -c '%u %a %F' "$base")" != "$uid 700 directory" ]; then
  fail "$base is not a directory of user $uid with mode 0700: mend or remove it, or name another in SAUROPOD_UNPACK_DIR"
fi

if [ ! -x "$folder/sauropod" ]; then
  unpacking=$(mktemp -d "$base/.unpacking.XXXXXXXX") || fail "Cannot make a folder in $base"
  trap 'rm -rf "$unpacking"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  { tail -c +@RUNTIME_AT@ "$0" | head -c @RUNTIME_LENGTH@ | gzip -dc >"$unpacking/sauropod" &&
    tail -c +@BUNDLE_AT@ "$0" | gzip -dc | tar -x -C "$unpacking" &&
    chmod 0700 "$unpacking/sauropod" &&
    sync "$unpacking"/* "$unpacking"; } || fail "Cannot unpack into $base: is the disk full, or mounted without exec?"
  # A rename is all or nothing; if another start was first, its folder is as good as ours.
  mv -T "$unpacking" "$folder" 2>/dev/null || [ -x "$folder/sauropod" ] || fail "Cannot make $folder"
  rm -rf "$unpacking"
  trap - EXIT HUP INT TERM
  # What killed starts left, and earlier versions that no process runs from.
  find "$base" -maxdepth 1 -name '.unpacking.*' -mmin +10 -exec rm -rf {} +
  for old in "$base"/[0-9a-f]*; do
    [ "$old" = "$folder" ] || [ ! -d "$old" ] ||
      ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF " $old/" || rm -rf "$old"
  done
fi

umask "$mask"
DENO_DIR=$folder/cache DENO_NO_UPDATE_CHECK=1
# Registries are trusted as the node trusts them, not only as Deno's own list does.
: "${DENO_TLS_CA_STORE:=system,mozilla}"
export DENO_DIR DENO_NO_UPDATE_CHECK DENO_TLS_CA_STORE
exec "$folder/sauropod" run --quiet @DENO_FLAGS@ "$folder/main.js" "$@"
exit 1
