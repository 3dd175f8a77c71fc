#!/bin/sh
# What the tests need beside Python: Chromium for the explorer page, a PostgreSQL server for the state, Java for Spark.
# Debian's packages are installed where they are missing; elsewhere this says what to install. With CI set, a missing one is an error.
set -eu

JRE=default-jre-headless

missing() {
  packages=""
  command -v chromium > /dev/null || packages="$packages chromium fonts-dejavu-core"
  command -v java > /dev/null || packages="$packages $JRE"
  command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || packages="$packages postgresql"
  printf '%s' "$packages"
}

wanted=$(missing)
test -n "$wanted" || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
  if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then as_root="sudo -n"; else as_root="no"; fi
fi
if [ "$as_root" != "no" ] && command -v apt-get > /dev/null; then
  echo "installing for the tests:$wanted"
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq
  # shellcheck disable=SC2086  # several packages, several words
  $as_root apt-get install -y -qq --no-install-recommends $wanted > /dev/null
fi

wanted=$(missing)
test -n "$wanted" || exit 0
echo "the tests also need:$wanted (Debian's names); install them, or their tests are skipped" >&2
test -z "${CI:-}"
