# Shared by the scripts that people start: finds or installs what is missing and says so.
# Sourced, not run. Sets: top (the checkout), DENO (a Deno of the right version).

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/sauropod-dev"
deno_version=2.9.3

say() { printf '== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" -eq 0 ] || fail "$1 needs root: it makes namespaces, mounts and cgroups. Start it with sudo"
}

# need_packages PROGRAM=PACKAGE ...: installs the Debian package of each program that is missing.
# A program given as a path is looked for there.
need_packages() {
  local entry program missing=()
  for entry in "$@"; do
    program=${entry%%=*}
    case $program in
      /*) [ -e "$program" ] || missing+=("${entry#*=}") ;;
      *) command -v "$program" >/dev/null || missing+=("${entry#*=}") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "missing on this machine: ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq
  # Services that packages would start belong to the machine's owner: nothing here starts them.
  # In a subshell, so that its trap takes the policy away after Ctrl-C, too.
  local status=0
  (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap 'rm -f $policy' EXIT
      trap 'exit 130' INT TERM HUP
      printf '#!/bin/sh\nexit 101\n' >$policy
      chmod +x $policy
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  ) || status=$?
  [ $status -eq 0 ] || fail "apt-get could not install: ${missing[*]}"
}

is_right_deno() {
  [ -x "$(command -v "$1" 2>/dev/null)" ] && [ "$("$1" --version 2>/dev/null | awk 'NR==1{print $2}')" = "$deno_version" ]
}

# Finds Deno, else installs it from npm, else by its own installer.
need_deno() {
  local from_npm="$cache/deno-$deno_version/node_modules/.bin/deno" own="$cache/deno-$deno_version/bin/deno"
  for DENO in "${DENO:-deno}" "$from_npm" "$own"; do
    if is_right_deno "$DENO"; then
      DENO=$(command -v "$DENO")
      export DENO
      return
    fi
  done
  mkdir -p "$cache/deno-$deno_version"
  if command -v npm >/dev/null; then
    say "installing Deno $deno_version from npm into $cache"
    npm install --loglevel=error --no-fund --no-audit --prefix "$cache/deno-$deno_version" \
      "deno@$deno_version" >/dev/null || say "npm could not install it"
    DENO=$from_npm
    is_right_deno "$DENO" && export DENO && return
  fi
  need_packages curl=curl unzip=unzip /etc/ssl/certs/ca-certificates.crt=ca-certificates
  say "installing Deno $deno_version by its own installer into $cache"
  curl -fsSL https://deno.land/install.sh |
    DENO_INSTALL="$cache/deno-$deno_version" sh -s -- --no-modify-path -y "v$deno_version" >/dev/null ||
    fail "Deno $deno_version could not be installed: install it yourself, and name it in DENO=/path/to/deno"
  DENO=$own
  is_right_deno "$DENO" || fail "$DENO is not Deno $deno_version"
  export DENO
}
