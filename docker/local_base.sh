#!/bin/bash
# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
#
# Makes an image that stands in for Docker's python:3.12-bookworm where no registry of images can be reached: Debian 12 from Debian's
# own packages, and the Python 3.12 of this machine.
#   docker/local_base.sh [PYTHON_PREFIX]      as root, on Debian 12 with buildah and debootstrap; tags localhost/python:3.12-bookworm
#   buildah bud --isolation chroot --build-arg BASE=localhost/python:3.12-bookworm -f docker/Dockerfile -t cpo-lab .
set -eu

PREFIX=${1:-$(python3.12 -c 'import sys; print(sys.base_prefix)')}
# What Python's own modules are linked against, and certificates for pip.
LIBRARIES=libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,libreadline8,libncursesw6,zlib1g,libuuid1,libgdbm6,libexpat1,ca-certificates,libgomp1

CONTAINER=$(buildah from scratch)
trap 'buildah rm "$CONTAINER" >/dev/null' EXIT
ROOT=$(buildah mount "$CONTAINER")
debootstrap --variant=minbase --include="$LIBRARIES" bookworm "$ROOT"
cp -a "$PREFIX/bin" "$PREFIX/lib" "$PREFIX/include" "$ROOT/usr/local/"
ln -sf python3.12 "$ROOT/usr/local/bin/python3"
ln -sf python3.12 "$ROOT/usr/local/bin/python"
rm -rf "$ROOT"/usr/local/lib/python3.12/{test,site-packages} "$ROOT"/var/cache/apt/archives/*.deb
find "$ROOT/usr/local" -name __pycache__ -prune -exec rm -rf {} +
chroot "$ROOT" ldconfig
chroot "$ROOT" /usr/local/bin/python3.12 -m ensurepip --upgrade
buildah unmount "$CONTAINER" >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$CONTAINER"
buildah commit --quiet "$CONTAINER" localhost/python:3.12-bookworm
