#!/usr/bin/env bats
# shellcheck disable=SC2016 # stand-ins expand their own variables
load support

# with_lib SCRIPT: run a step that consists of these lines
with_lib() {
  run bash -c "set -euo pipefail; source '$SCRIPTS/lib.sh'; begin probe; $1"
}

@test "lib: a step tells that it begins and that it is done" {
  with_lib 'true'
  succeeded
  [[ ${lines[0]} == "homelab-step: probe: begin" ]]
  [[ ${lines[1]} == "homelab-step: probe: done" ]]
}

@test "lib: what commands print goes to the log, messages go to both" {
  with_lib 'echo chatter; log message'
  printed "probe: message"
  [[ $output != *chatter* ]]
  grep -q chatter "$HOMELAB_ROOT/var/log/homelab-build/probe.log"
  grep -q message "$HOMELAB_ROOT/var/log/homelab-build/probe.log"
}

@test "lib: HOMELAB_VERBOSE shows what commands print" {
  HOMELAB_VERBOSE=true with_lib 'echo chatter; sleep 0; /bin/sleep 0.2'
  printed chatter
}

@test "lib: a failure keeps its exit code, names the log and shows its last twenty lines" {
  with_lib 'for ((i = 1; i <= 30; i++)); do echo "line $i"; done; exit 7'
  [[ $status -eq 7 ]]
  printed "homelab-step: probe: failed (exit code 7)"
  printed "Last lines of $HOMELAB_ROOT/var/log/homelab-build/probe.log"
  printed "line 30"
  printed "line 11"
  [[ $output != *"line 10"* ]]
  cmp "$HOMELAB_RUN/failed.log" "$HOMELAB_ROOT/var/log/homelab-build/probe.log"
}

@test "lib: retry waits twice as long each time, a minute at most" {
  RETRY_ATTEMPTS=8 RETRY_DELAY=2 with_lib 'retry false'
  failed
  [[ $(grep '^sleep' "$CALLS" | cut -d ' ' -f 2 | tr '\n' ' ') == "2 4 8 16 32 60 60 " ]]
  printed "error: false failed 8 times"
}

@test "lib: retry goes on as soon as it works" {
  fails_first curl 1
  with_lib 'retry curl address'
  succeeded
  [[ $(count '^curl') -eq 2 ]]
  printed "attempt 1 of 3 failed"
}

@test "lib: a file is written whole, with its mode, and over an older one" {
  with_lib 'echo old | write_file /etc/a/b; echo new | write_file /etc/a/b 0600'
  succeeded
  [[ $(<"$HOMELAB_ROOT/etc/a/b") == new ]]
  [[ $(stat -c %a "$HOMELAB_ROOT/etc/a/b") == 600 ]]
  [[ $(ls "$HOMELAB_ROOT/etc/a") == b ]]
}

@test "lib: a missing setting is named" {
  with_lib 'require NO_SUCH_SETTING'
  failed
  printed "NO_SUCH_SETTING is not set"
}
