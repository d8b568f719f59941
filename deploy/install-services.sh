#!/usr/bin/env bash
# Install from Debian the programs that tests of services run. Needs root; starts none of them.
set -euo pipefail

packages=(
    prometheus # with promtool: scrapes a server, checks the alerts
)

if [ "$(id -u)" != 0 ]; then
    echo "install-services.sh: run it as root" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends "${packages[@]}" >/dev/null
