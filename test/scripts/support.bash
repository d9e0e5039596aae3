# What all of these tests use. A script runs in a scratch folder that stands for / (HOMELAB_ROOT), with stand-ins on PATH for
# everything that would change the machine; each call of a stand-in is a line of $CALLS.

# shellcheck disable=SC2016,SC2154 # stand-ins expand their own variables; bats sets output and status

SCRIPTS=$BATS_TEST_DIRNAME/../../packer/alma9-k3s-optimized/scripts

setup() {
  export HOMELAB_ROOT=$BATS_TEST_TMPDIR/root HOMELAB_RUN=$BATS_TEST_TMPDIR/run
  export CALLS=$BATS_TEST_TMPDIR/calls STAND_INS=$BATS_TEST_TMPDIR/bin
  export RETRY_ATTEMPTS=3 RETRY_DELAY=0
  unset HOMELAB_LIB HOMELAB_VERBOSE
  mkdir -p "$HOMELAB_ROOT"/{etc,root,tmp,var/log,var/tmp} "$HOMELAB_RUN" "$STAND_INS"
  : >"$CALLS"
  export PATH=$STAND_INS:$PATH
  local name
  for name in cloud-init curl dd dnf dracut fstrim mountpoint oscap restorecon rpm sleep sync systemctl; do
    stand_in "$name"
  done
  # No folder is a mount point: a free disk is never filled by a test.
  stand_in mountpoint 'exit 1'
  stand_in rpm 'echo 5.14.0-503.el9.x86_64'
  # No unit is installed, unless a test says so.
  stand_in systemctl '[[ $1 != cat ]]'
}

# stand_in NAME [SCRIPT]: a program that notes its call, and then does what the script says
stand_in() {
  printf '#!/usr/bin/env bash\nprintf "%%s\\n" "%s $*" >>"$CALLS"\n%s\n' "$1" "${2:-}" >"$STAND_INS/$1"
  chmod +x "$STAND_INS/$1"
}

# fails_first NAME COUNT: its first COUNT calls fail
fails_first() {
  stand_in "$1" "(( \$(grep -c '^$1 ' \"\$CALLS\") > $2 ))"
}

# HOMELAB_TEST_TOOLS is a folder that holds all programs the scripts may use besides the stand-ins: busybox', for instance.
script() { # NAME
  if [[ -n ${HOMELAB_TEST_TOOLS:-} ]]; then
    run env PATH="$STAND_INS:$HOMELAB_TEST_TOOLS" bash "$SCRIPTS/$1.sh"
  else
    run bash "$SCRIPTS/$1.sh"
  fi
}

called() { # PATTERN
  grep -qE "$1" "$CALLS" || {
    echo "not called: $1"
    cat "$CALLS"
    return 1
  }
}

not_called() { # PATTERN
  ! called "$1" >/dev/null
}

count() { # PATTERN
  grep -cE "$1" "$CALLS" || true
}

printed() { # TEXT
  [[ $output == *"$1"* ]] || {
    echo "not printed: $1"
    echo "$output"
    return 1
  }
}

succeeded() {
  [[ $status -eq 0 ]] || {
    echo "exit code $status"
    echo "$output"
    return 1
  }
}

failed() {
  [[ $status -ne 0 ]] || {
    echo "it did not fail"
    echo "$output"
    return 1
  }
}

# The files below the scratch root, with their contents' checksums.
snapshot() {
  (cd "$HOMELAB_ROOT" && find . -type f ! -path './var/log/homelab-build/*' -exec sha256sum {} + | sort -k 2)
}
