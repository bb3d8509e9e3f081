#!/bin/bash
# User data of every instance of a deployment: install iraas, run the role, shut the machine down.
# The launcher replaces the names between @ signs; none of the values is secret. See docs/aws.md.
set -uo pipefail

# Before anything that may fail: a forgotten machine shuts itself down.
shutdown -h "+@MAX_LIFE_MIN@" "iraas: the end of this machine's hard maximum life" || true

ROLE="@ROLE@" # worker, web or bake
WEB_OPEN="@WEB_OPEN@" # yes: the web tier listens on all addresses, and requires a token
DEPLOYMENT="@DEPLOYMENT@"
BUCKET="@BUCKET@"
WHEEL_KEY="@WHEEL_KEY@"
WHEEL_SHA256="@WHEEL_SHA256@"
BUNDLE_KEY="@BUNDLE_KEY@"
BUNDLE_SHA256="@BUNDLE_SHA256@"
export AWS_DEFAULT_REGION="@REGION@"
HOME_DIR="${IRAAS_MACHINE_HOME:-/opt/iraas}"
LOG="${IRAAS_MACHINE_LOG:-/var/log/iraas.log}"
METADATA="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"
UNITS="${IRAAS_MACHINE_UNITS:-/etc/systemd/system}"
started_at=$(date +%s)
broken=""

# Log to a file, and to the console that `aws ec2 get-console-output` shows.
exec > >(tee -a "$LOG" >(cat >/dev/console 2>/dev/null || true)) 2>&1

say() { echo "$(date -u +%FT%TZ) iraas: $*"; }

instance_id() {
  local token
  token=$(curl -sf -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" \
    "${METADATA%/}/latest/api/token") &&
    curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" \
      "${METADATA%/}/latest/meta-data/instance-id"
}

# Report a worker that could not start: the controller then backs off.
report_broken() {
  local id now
  id=$(instance_id) || return 0
  now=$(date +%s)
  printf '{"worker_id":"%s","state":"broken","started_at":%d,"beat_at":%d,"reason":"%s"}' \
    "$id" "$started_at" "$now" "$broken" |
    aws s3 cp --only-show-errors - "s3://$BUCKET/records/workers/$id.json" || true
}

finish() {
  trap - EXIT
  if [ -n "$broken" ]; then
    say "failed: $broken"
    [ "$ROLE" = worker ] && report_broken
  elif [ "$ROLE" = web ]; then
    say "the web tier is up"
    return
  fi
  say "the end"
  shutdown -h now
}
trap finish EXIT

fail() {
  broken="$1"
  exit 1
}

# Up to three tries of a command that depends on the network.
try() {
  local pause
  for pause in ${IRAAS_MACHINE_PAUSES:-2 10}; do
    "$@" && return 0
    say "failed: $1; next try in $pause s"
    sleep "$pause"
  done
  "$@"
}

fetch() { # key, sha256, file
  try aws s3 cp --only-show-errors "s3://$BUCKET/$1" "$3" &&
    echo "$2  $3" | sha256sum --check --quiet
}

install() {
  if [ "$(cat "$HOME_DIR/installed" 2>/dev/null)" = "$WHEEL_SHA256 $BUNDLE_SHA256" ]; then
    say "everything is installed in the image"
    return 0
  fi
  say "installing"
  command -v python3.11 >/dev/null || try dnf install -y -q python3.11 python3.11-pip ||
    fail "python3.11 cannot be installed"
  # Without it the decoder could reach this machine's credentials, and no worker starts.
  ldconfig -p | grep -q libseccomp.so.2 || try dnf install -y -q libseccomp ||
    say "libseccomp cannot be installed"
  rm -rf "$HOME_DIR/venv" "$HOME_DIR/bundle" # of an image that was baked for an older version
  mkdir -p "$HOME_DIR/bundle" || fail "$HOME_DIR cannot be created"
  fetch "$WHEEL_KEY" "$WHEEL_SHA256" "$HOME_DIR/${WHEEL_KEY##*/}" || fail "the wheel is missing"
  fetch "$BUNDLE_KEY" "$BUNDLE_SHA256" "$HOME_DIR/bundle.tar.gz" || fail "the bundle is missing"
  tar -xzf "$HOME_DIR/bundle.tar.gz" -C "$HOME_DIR/bundle" || fail "the bundle is corrupt"
  python3.11 -m venv "$HOME_DIR/venv" || fail "no virtual environment can be made"
  try "$HOME_DIR/venv/bin/pip" install -q --no-input --disable-pip-version-check \
    "$HOME_DIR/${WHEEL_KEY##*/}[@EXTRAS@]" || fail "the packages cannot be installed"
  id iraas >/dev/null 2>&1 || useradd --system --home-dir "$HOME_DIR" iraas ||
    fail "no user can be made"
  echo "$WHEEL_SHA256 $BUNDLE_SHA256" >"$HOME_DIR/installed"
  say "installed in $(($(date +%s) - started_at)) s"
}

# Images are untrusted: the process that decodes them must not be root.
as_iraas() {
  runuser -u iraas -- env HOME="$HOME_DIR" IRAAS_BACKEND=aws IRAAS_DEPLOYMENT="$DEPLOYMENT" \
    AWS_DEFAULT_REGION="$AWS_DEFAULT_REGION" "$HOME_DIR/venv/bin/iraas" "$@"
}

unit() { # name, arguments
  cat >"$UNITS/iraas-$1.service" <<UNIT
[Unit]
Description=iraas $1 of the deployment $DEPLOYMENT
After=network-online.target
[Service]
User=iraas
Environment=HOME=/var/lib/iraas IRAAS_BACKEND=aws IRAAS_DEPLOYMENT=$DEPLOYMENT
Environment=AWS_DEFAULT_REGION=$AWS_DEFAULT_REGION
PassEnvironment=IRAAS_TOKEN
ExecStart=$HOME_DIR/venv/bin/iraas $2
Restart=always
RestartSec=5
NoNewPrivileges=yes
StateDirectory=iraas
ProtectSystem=strict
PrivateTmp=yes
[Install]
WantedBy=multi-user.target
UNIT
}

# A reboot cancels a scheduled shutdown; a persistent timer with the same time survives it.
keep_the_end() {
  local end
  end=$(date -u -d "@$((started_at + @MAX_LIFE_MIN@ * 60))" "+%F %T UTC") || return
  cat >"$UNITS/iraas-end.timer" <<UNIT
[Unit]
Description=the end of this machine's hard maximum life
[Timer]
OnCalendar=$end
Persistent=yes
[Install]
WantedBy=timers.target
UNIT
  printf '[Service]\nType=oneshot\nExecStart=/usr/sbin/shutdown -h now\n' >"$UNITS/iraas-end.service"
  systemctl daemon-reload && systemctl enable --now iraas-end.timer
}

# A baked image must not inherit the shutdown time of its builder.
[ "$ROLE" = bake ] || keep_the_end || say "the end of this machine's life would not outlive a reboot"

install
case "$ROLE" in
worker)
  as_iraas worker --end-machine --model "$HOME_DIR/bundle"
  say "the worker left with exit code $?"
  ;;
web)
  host=127.0.0.1
  if [ "$WEB_OPEN" = yes ]; then
    # Generated here, kept in memory, and stored in the deployment's private bucket for its owner.
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "$token" | aws s3 cp --only-show-errors - "s3://$BUCKET/web/token" ||
      fail "the token cannot be stored"
    systemctl set-environment "IRAAS_TOKEN=$token"
    host=0.0.0.0
  fi
  unit controller controller
  unit web "serve-web --host $host"
  systemctl daemon-reload
  systemctl enable --now iraas-controller iraas-web || fail "the services do not start"
  ;;
bake)
  echo "$WHEEL_SHA256 $BUNDLE_SHA256" |
    aws s3 cp --only-show-errors - "s3://$BUCKET/install/baked/$(instance_id)" ||
    fail "the completion cannot be recorded"
  cloud-init clean --logs || true
  ;;
esac
