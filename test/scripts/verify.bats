#!/usr/bin/env bats
# shellcheck disable=SC2016 # stand-ins expand their own variables
load support

# goss itself, or a stand-in for it, in its folder on tmpfs
goss() { # SCRIPT
  export GOSS_DIR=$BATS_TEST_TMPDIR/goss GOSS_VARIABLES='{"arch":"amd64"}'
  mkdir -p "$GOSS_DIR"
  printf '#!/usr/bin/env bash\nprintf "goss %%s\\n" "$*" >>"$CALLS"\n%s\n' "$1" >"$GOSS_DIR/goss"
  echo 'file: {}' >"$GOSS_DIR/goss.yaml"
}

@test "verify: runs the suite with its variables, and counts what holds" {
  goss 'printf "1..2\nok 1 - File: /a: exists\nok 2 - File: /b: exists\n"'
  script verify
  succeeded
  printed "2 assertions hold"
  called 'goss --gossfile .*/goss.yaml --vars-inline \{"arch":"amd64"\} validate'
}

@test "verify: a failing assertion fails the build, and every one is named" {
  goss 'printf "1..3\nok 1 - File: /a: exists\nnot ok 2 - Command: there are no SSH host keys: stdout: /etc/ssh/x\nnot ok 3 - File: /etc/machine-id: size\n"; exit 1'
  script verify
  failed
  printed "verify: Command: there are no SSH host keys: stdout: /etc/ssh/x"
  printed "verify: File: /etc/machine-id: size"
  printed "the image is not as it should be"
}

@test "verify: leaves nothing behind, whether it fails or not" {
  goss 'exit 0'
  script verify
  [[ ! -e $GOSS_DIR && ! -e $HOMELAB_RUN && ! -e $HOMELAB_ROOT/var/log/homelab-build ]]
  goss 'exit 1'
  script verify
  failed
  [[ ! -e $GOSS_DIR && ! -e $HOMELAB_ROOT/var/log/homelab-build ]]
}

@test "verify: a goss that does not run fails the build" {
  goss 'echo "exec format error" >&2; exit 126'
  script verify
  failed
  printed "exec format error"
  printed "126"
}

@test "verify: needs to know where goss is" {
  unset GOSS_DIR GOSS_VARIABLES
  script verify
  failed
  printed "GOSS_DIR is not set"
}
