#!/bin/sh
# Installs the Debian packages of tools/packages.txt that are missing. With nothing missing it takes
# some 30 ms, so every build starts with it. Without root it prints the line to run and stops.
set -eu
list=$(dirname "$0")/packages.txt
wanted=$(sed -n 's/^\([a-z0-9][^ ]*\) .*/\1/p' "$list")
have=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null | sed -n 's/^ii *//p')
missing=
for package in $wanted; do
    case "
$have
" in *"
$package
"*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
    echo "setup: this machine has no apt-get; Skerry builds on Debian 12 with:$missing" >&2
    exit 1
}
if [ "$(id -u)" = 0 ]; then
    as_root=env
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo env"
elif command -v sudo >/dev/null && [ -t 0 ]; then
    as_root="sudo env"
else
    echo "setup: packages are missing and this is not root. Run this line, then try again:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "setup: installing$missing"
quiet="-qq -o Dpkg::Use-Pty=0"
install="$as_root DEBIAN_FRONTEND=noninteractive apt-get install -y $quiet --no-install-recommends"
# The package lists may be absent or old: a second try follows an update.
$install $missing >/dev/null 2>&1 || {
    $as_root apt-get update $quiet
    $install $missing >/dev/null
}
