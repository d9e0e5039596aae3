#!/usr/bin/env bash
# What every provisioning script needs: a log, lines that tell how far the build is, retries, and a failure that says why.
# A script sources it and calls `begin NAME` first.
#
# HOMELAB_ROOT  folder that stands for /; empty in a build, a scratch folder in the tests
# HOMELAB_RUN   folder on tmpfs for what must not end up in the image

ROOT=${HOMELAB_ROOT:-}
RUN=${HOMELAB_RUN:-/run/homelab-build}
LOG_DIR=${ROOT}/var/log/homelab-build
STEP=''
LOG=/dev/null

# begin NAME [LOG_DIR]: from here on everything printed goes to the log; `log` and `fail` reach the person at the build.
begin() {
  STEP=$1
  local folder=${2:-${LOG_DIR}}
  mkdir -p "${folder}"
  LOG=${folder}/${STEP}.log
  : >"${LOG}"
  printf 'homelab-step: %s: begin\n' "${STEP}"
  exec 3>&1
  if [[ ${HOMELAB_VERBOSE:-false} == true ]]; then
    # shellcheck disable=SC2312 # a log that cannot be shown is no reason to end the build
    exec > >(tee -a "${LOG}" >&3) 2>&1
  else
    exec >>"${LOG}" 2>&1
  fi
  trap finish EXIT
}

# What the build's user sees of a failed step: its last lines, and where the others are. A script that has something to take
# away however it ends names the function that does so in ON_EXIT.
finish() {
  local status=$?
  trap - EXIT
  ${ON_EXIT:-true}
  if ((status == 0)); then
    printf 'homelab-step: %s: done\n' "${STEP}" >&3
    return
  fi
  {
    printf 'homelab-step: %s: failed (exit code %s)\n' "${STEP}" "${status}"
    printf 'Last lines of %s:\n' "${LOG}"
    tail -n 20 "${LOG}"
  } >&3
  mkdir -p "${RUN}" && cp "${LOG}" "${RUN}/failed.log"
  exit "${status}"
}

log() { # MESSAGE…
  printf '%s: %s\n' "${STEP}" "$*" >&3
  [[ ${HOMELAB_VERBOSE:-false} == true ]] || printf '%s\n' "$*"
}

# To standard error, which is in the log as well: it is called where standard output is taken for an answer, too.
fail() { # MESSAGE…
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# retry COMMAND…: for what needs the network. Waits twice as long each time, a minute at most.
retry() {
  local attempts=${RETRY_ATTEMPTS:-6} delay=${RETRY_DELAY:-2} attempt
  for ((attempt = 1; ; attempt++)); do
    if "$@"; then return 0; fi
    if ((attempt >= attempts)); then
      printf 'error: %s failed %s times\n' "$*" "${attempts}" >&2
      return 1
    fi
    log "attempt ${attempt} of ${attempts} failed, the next in ${delay} s: $*"
    sleep "${delay}"
    delay=$((delay * 2 > 60 ? 60 : delay * 2))
  done
}

# require NAME…: variables the build has to set.
require() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "${name} is not set"
  done
}

# require_flag NAME…: variables that switch something.
require_flag() {
  local name
  for name in "$@"; do
    case ${!name:-} in
    true | false) ;;
    *) fail "${name} must be true or false, not \"${!name:-}\"" ;;
    esac
  done
}

# install_packages NAME…: without what is merely recommended.
install_packages() {
  retry dnf -y --setopt=install_weak_deps=False install "$@"
}

# write_file PATH [MODE]: standard input becomes the file, whole or not at all.
write_file() {
  local path=${ROOT}$1 mode=${2:-0644}
  mkdir -p "$(dirname "${path}")"
  cat >"${path}.new"
  chmod "${mode}" "${path}.new"
  mv -f "${path}.new" "${path}"
}

# disable_units NAME…: those that are installed; a unit that is not there is off as well.
disable_units() {
  local unit
  for unit in "$@"; do
    if systemctl cat "${unit}"; then
      systemctl disable "${unit}" || fail "${unit} cannot be disabled"
    fi
  done
}
