#!/bin/sh
# Installs bubblewrap where that may be done without asking: as root, or with a sudo that wants no
# password, on a system with apt, dnf or pacman. Elsewhere says the one command that does it. Never
# fails: everything but the code interpreter works without.

[ "$(uname -s)" = Linux ] || exit 0
command -v bwrap >/dev/null && exit 0

if command -v apt-get >/dev/null; then
	install="apt-get install -y bubblewrap"
	refresh="apt-get update"
elif command -v dnf >/dev/null; then
	install="dnf install -y bubblewrap"
elif command -v pacman >/dev/null; then
	install="pacman -S --noconfirm bubblewrap"
else
	echo "localassist: the code interpreter needs bubblewrap; install it with your system's packages." >&2
	exit 0
fi

if [ "$(id -u)" = 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root="sudo -n"
else
	echo "localassist: the code interpreter needs bubblewrap. Install it: sudo $install" >&2
	exit 0
fi

echo "localassist: installing bubblewrap, which isolates the code interpreter" >&2
# The list of packages may be old, or missing as in container images.
$as_root $install >/dev/null 2>&1 ||
	{ ${refresh:+$as_root $refresh} && $as_root $install; } >/dev/null 2>&1 ||
	echo "localassist: bubblewrap could not be installed. Try: ${as_root:+sudo }$install" >&2
exit 0
