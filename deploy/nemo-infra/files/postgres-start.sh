#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts PostgreSQL under any UID on a read-only root, makes the roles and databases of $DATABASES, and keeps each
# role's password equal to the mounted Secret: `start.sh` is the container, `start.sh ready` its probe.
#
# DATABASES has a line per database: part role database. Its password is /etc/open-nemo/passwords/<part>/hand-made/password
# where that exists (a Secret made by hand wins), else /etc/open-nemo/passwords/<part>/generated/password.
set -euo pipefail

: "${PGDATA:?}" "${DATABASES:?}"
SOCKETS=${SOCKETS:-/var/run/postgresql}
PASSWORDS=${PASSWORDS:-/etc/open-nemo/passwords}
SCRATCH=${SCRATCH:-/tmp}
PORT=${PORT:-5432}
APPLIED=$SCRATCH/roles-applied

# Debian keeps the programs outside PATH.
if ! command -v initdb >/dev/null; then
  for dir in /usr/lib/postgresql/*/bin; do PATH=$dir:$PATH; done
fi

log() { echo "open-nemo: $*" >&2; }

# Ends with a reason that `kubectl describe pod` shows too.
die() {
  log "$*"
  { echo "$*" >/dev/termination-log; } 2>/dev/null || true
  exit 1
}

if [ "${1:-}" = ready ]; then
  [ -f "$APPLIED" ] && exec pg_isready -q -h "$SOCKETS" -p "$PORT" -U postgres -t 3
  exit 1
fi

rm -f "$APPLIED"

# PostgreSQL wants its UID to have the name postgres; a UID of the cluster's choosing has none.
if [ "$(id -un 2>/dev/null || true)" != postgres ]; then
  wrapper=$(find /usr/lib /usr/lib64 -name libnss_wrapper.so 2>/dev/null | head -n 1)
  [ -n "$wrapper" ] || die "UID $(id -u) is not postgres and libnss_wrapper.so is not in the image: use the Debian variant"
  echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$SCRATCH/passwd"
  echo "postgres:x:$(id -g):" >"$SCRATCH/group"
  export LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$SCRATCH/passwd NSS_WRAPPER_GROUP=$SCRATCH/group
fi

major=$(postgres -V | sed -E 's/[^0-9]*([0-9]+).*/\1/')
if [ -f "$PGDATA/PG_VERSION" ]; then
  found=$(cat "$PGDATA/PG_VERSION")
  if [ "$found" != "$major" ]; then
    die "The data in $PGDATA is of PostgreSQL $found, this image is PostgreSQL $major and cannot read it. Nothing was" \
      "changed. Set postgresql.image.tag to a $found.x image again; to move to $major, dump with pg_dumpall there," \
      "delete the volume claim, install with $major and load the dump: see README.md, 'Another major version'."
  fi
else
  # Made beside its place, so that a kill in the middle leaves nothing half made.
  rm -rf "$PGDATA.new"
  log "making a data directory for PostgreSQL $major"
  initdb -D "$PGDATA.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
    --auth-local=peer --auth-host=scram-sha-256 --no-instructions >&2
  mv "$PGDATA.new" "$PGDATA"
fi
# A volume's group rights may have been widened by the kubelet; PostgreSQL refuses that.
chmod 0700 "$PGDATA" || die "The data in $PGDATA belongs to UID $(stat -c %u "$PGDATA"), the pod runs as $(id -u): give the files to it, or run the pod as their owner"

# The superuser has no password and comes in through the socket only.
cat >"$SCRATCH/pg_hba.conf" <<HBA
local all postgres peer
host all postgres all reject
host all all all scram-sha-256
HBA

parameters=()
while IFS= read -r line; do
  if [ -n "$line" ]; then parameters+=(-c "$line"); fi
done <<<"${PARAMETERS:-}"

postgres -D "$PGDATA" -p "$PORT" -k "$SOCKETS" -c listen_addresses='*' -c hba_file="$SCRATCH/pg_hba.conf" \
  -c unix_socket_permissions=0700 -c password_encryption=scram-sha-256 "${parameters[@]}" &
server=$!
# INT is PostgreSQL's fast shutdown: sessions end, data is written.
trap 'kill -INT "$server" 2>/dev/null' TERM INT QUIT

alive() { kill -0 "$server" 2>/dev/null; }
finish() {
  local code=0
  wait "$server" || code=$?
  # A trapped signal ends the wait before the server has ended.
  while alive; do wait "$server" || code=$?; done
  exit "$code"
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$SOCKETS" -p "$PORT" -U postgres -d postgres "$@"; }

until sql -c 'SELECT 1' >/dev/null 2>&1; do
  alive || finish
  sleep 0.2
done

ensure_database() {
  sql -v role="$1" -v database="$2" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
}

# Whatever the password holds, psql quotes it; it comes through the environment, so no list of processes shows it.
set_password() {
  ROLE_PASSWORD=$2 sql -v role="$1" <<'SQL'
\getenv password ROLE_PASSWORD
SET log_min_error_statement = panic;
SET log_statement = none;
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

declare -A last
apply_passwords() {
  local part role database file password
  while read -r part role database; do
    [ -n "$part" ] || continue
    file=$PASSWORDS/$part/hand-made/password
    [ -s "$file" ] || file=$PASSWORDS/$part/generated/password
    [ -s "$file" ] || continue
    password=$(cat "$file") || continue
    [ "${last[$role]-}" = "$password" ] && continue
    if set_password "$role" "$password"; then
      last[$role]=$password
      log "password of $role set"
    fi
  done <<<"$DATABASES"
}

while read -r part role database; do
  if [ -n "$part" ]; then ensure_database "$role" "$database"; fi
done <<<"$DATABASES"
apply_passwords
touch "$APPLIED"

# The kubelet changes the files in place; a look every two seconds costs nothing.
while alive; do
  sleep 2 &
  wait $! || true
  if alive; then apply_passwords; fi
done
finish
