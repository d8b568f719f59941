#!/usr/bin/env bash
# Install from Debian the programs that tests of services run. Needs root; starts none of them.
set -euo pipefail

packages=(
    postgresql # the record of predictions on a server
    prometheus # with promtool: scrapes a server, checks the alerts
    redis-server # answers that are remembered by several servers
)

if [ "$(id -u)" != 0 ]; then
    echo "install-services.sh: run it as root" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends "${packages[@]}" >/dev/null
