#!/bin/sh
# Installs localassist from this folder. No network is used. See docs/air_gapped.md.
#
#   ./install.sh [--prefix DIR] [--home DATA] [--signers FILE | --unsigned] [--no-kernel] [--python PATH]
#
# This part only finds a Python that the bundle was made for; install.py does the rest.

set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

say() { printf 'install.sh: %s\n' "$*" >&2; }

given=
count=$#
while [ "$count" -gt 0 ]; do
	count=$((count - 1))
	argument=$1
	shift
	case $argument in
	--python)
		[ "$count" -gt 0 ] || { say "--python needs a path."; exit 2; }
		given=$1
		shift
		count=$((count - 1))
		;;
	--python=*) given=${argument#--python=} ;;
	*) set -- "$@" "$argument" ;;
	esac
done

[ -f "$here/manifest.json" ] || { say "$here is not complete: manifest.json is missing."; exit 1; }
[ -f "$here/install.py" ] || { say "$here is not complete: install.py is missing."; exit 1; }
wanted=$(sed -n 's/^ *"python": "\(3\.[0-9]*\)",*$/\1/p' "$here/manifest.json" | sort -u | tr '\n' ' ')
[ -n "$wanted" ] || { say "manifest.json was changed: it names no Python."; exit 1; }

# $1: a Python, $2: its version. Whether it runs, is of that version and can make environments.
fits() {
	"$1" -I -c "import sys, venv; sys.exit(sys.version_info[:2] != ($(echo "$2" | tr . ,)))" \
		2>/dev/null
}

python=
for version in $wanted; do
	for candidate in ${given:+"$given"} ${given:-"python$version" python3 "/usr/bin/python$version" "/usr/local/bin/python$version"}; do
		if fits "$candidate" "$version"; then
			python=$candidate
			break 2
		fi
	done
done
if [ -z "$python" ]; then
	say "needs Python ${wanted% } with its venv module${given:+; $given is not that}. Python itself is not in the bundle."
	say "Debian, Ubuntu: the packages python3 and python3-venv; Fedora, RHEL: python3.11. Another: --python PATH"
	exit 1
fi
exec "$python" -I -B "$here/install.py" "$@"
