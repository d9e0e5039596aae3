#!/usr/bin/env bash
# Checks the finished system with goss, from a tmpfs, and leaves nothing behind. What fails is named, and fails the build.
#
# GOSS_DIR        folder with goss and goss.yaml
# GOSS_VARIABLES  JSON object of what goss.yaml expects
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
begin verify "${RUN}"
: "${GOSS_DIR:=}" "${GOSS_VARIABLES:=}"
require GOSS_DIR GOSS_VARIABLES
ON_EXIT=remove_goss
remove_goss() { rm -rf "${GOSS_DIR}"; }

chmod 0700 "${GOSS_DIR}/goss"

status=0
report=$("${GOSS_DIR}/goss" --gossfile "${GOSS_DIR}/goss.yaml" --vars-inline "${GOSS_VARIABLES}" \
  validate --format tap --no-color 2>&1) || status=$?
if ((status != 0)); then
  grep -v '^ok ' <<<"${report}" || true
  # Every one of them by its name, however many they are.
  while read -r line; do
    [[ ${line} != "not ok "* ]] || log "${line#not ok * - }"
  done <<<"${report}"
  fail "the image is not as it should be (goss ended with exit code ${status})"
fi
log "$(grep -c '^ok ' <<<"${report}" || true) assertions hold"
rm -rf "${RUN}"
