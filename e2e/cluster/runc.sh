#!/usr/bin/env bash
# A runc for machines whose root lacks capabilities. kind's nodes ask for all
# there are, and runc refuses to give what it does not hold; so take those out
# of what is asked for. Docker calls it in place of runc.
set -euo pipefail

held=$(setpriv --dump | sed -n 's/^Capability bounding set: //p')
file='' path='' previous=''
for argument in "$@"; do
  case $previous in
    --bundle | -b) file=$argument/config.json path=.process.capabilities ;;
    --process | -p) file=$argument path=.capabilities ;;
  esac
  previous=$argument
done
if [[ $file && -f $file ]]; then
  changed=$(jq -c --arg held "$held" "($path // empty) |= map_values(map(select(
    ascii_downcase | ltrimstr(\"cap_\") as \$name | \$held | split(\",\") | index(\$name))))" "$file")
  cat <<<"$changed" >"$file"
fi
exec runc "$@"
