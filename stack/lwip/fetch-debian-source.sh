#!/bin/sh
# Downloads one file of a Debian source package, through the package archive that this machine uses already.
#
#   fetch-debian-source.sh PACKAGE RELEASE FILE DIRECTORY
#   fetch-debian-source.sh lwip trixie lwip_2.2.1+dfsg1.orig.tar.xz /some/where
#
# The archive's address, its key and its options come from the machine's own apt configuration (deb822 *.sources
# and one-line *.list files alike); only the release name is replaced. Everything that apt writes goes to a private
# directory that is removed at the end, and apt's hooks are switched off, so nothing on the machine changes. Works
# as root and as any other user. apt checks the archive's signature; the caller checks the file's sum.
#
# Exit status: 0 the file is in DIRECTORY; 1 it is not, and stderr says why.
set -eu

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

[ $# -eq 4 ] || fail "usage: ${0##*/} PACKAGE RELEASE FILE DIRECTORY"
package=$1 release=$2 file=$3 directory=$4
[ -d "$directory" ] || fail "no such directory: $directory"
for tool in apt-get apt-config awk; do
  command -v "$tool" >/dev/null || fail "no $tool here, so this is not a Debian with apt"
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
# apt downloads as the user _apt where it can, who must get through to his own directories and see no others.
chmod 711 "$tmp"
mkdir "$tmp/candidates" "$tmp/sources" "$tmp/lists" "$tmp/cache" "$tmp/download"
chmod 700 "$tmp/candidates" "$tmp/sources" # an address may hold a password
if [ "$(id -u)" = 0 ] && id _apt >/dev/null 2>&1; then
  chown _apt "$tmp/download" 2>/dev/null || true
fi

# One-line entries on stdin, deb822 stanzas on stdout.
one_line_to_deb822() {
  awk '
    { sub(/\r$/, ""); sub(/#.*/, "") }
    !/^[ \t]*deb(-src)?[ \t]/ || /[ \t]cdrom:/ { next }
    {
      line = $0
      sub(/^[ \t]*deb(-src)?[ \t]+/, "", line)
      options = ""
      if (line ~ /^\[/) {
        end = index(line, "]")
        options = substr(line, 2, end - 2)
        line = substr(line, end + 1)
      }
      words = split(line, word)
      components = ""
      for (i = 3; i <= words; i++) components = components " " word[i]
      printf "\nTypes: deb\nURIs: %s\nSuites: %s\nComponents:%s\n", word[1], word[2], components
      count = split(options, option)
      for (i = 1; i <= count; i++) {
        equals = index(option[i], "=")
        value = substr(option[i], equals + 1)
        gsub(/,/, " ", value)
        if (equals > 1) printf "%s: %s\n", substr(option[i], 1, equals - 1), value
      }
      print ""
    }'
}

# deb822 stanzas on stdin. For each address of a Debian main archive among them a file DIRECTORY/RANK-NUMBER with a
# deb-src stanza for the wanted release. Companies also publish under Debian release names with a component main:
# what looks most like the real archive gets rank 1 and is tried first.
write_candidates() {
  awk -v directory="$1" -v release="$2" '
    function flush(    i, n, word, plain, rank, out) {
      plain = 0
      n = split(value["suites"], word)
      for (i = 1; i <= n; i++)
        if (word[i] ~ /^(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)$/)
          plain = 1
      if (tolower(value["enabled"]) ~ /^[ \t]*(no|false|0|off|disable|without)[ \t]*$/) plain = 0
      if ((" " value["components"] " ") !~ /[ \t\n]main[ \t\n]/) plain = 0
      n = plain ? split(value["uris"], word) : 0
      for (i = 1; i <= n; i++) {
        if (word[i] in known || word[i] ~ /security/) continue
        known[word[i]] = 1
        rank = word[i] ~ /debian(\.list)?\/?$/ ? 1 : word[i] ~ /debian/ ? 2 : 3
        out = directory "/" rank "-" (100 + ++number)
        printf "Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n", word[i], release > out
        for (field in value) if (field in kept) printf "%s:%s\n", field, value[field] > out
        close(out)
      }
      split("", value)
      field = ""
    }
    BEGIN {
      n = split("signed-by trusted allow-insecure allow-weak allow-downgrade-to-insecure by-hash check-date " \
                "check-valid-until date-max-future valid-until-max valid-until-min", names)
      for (i = 1; i <= n; i++) kept[names[i]] = 1
    }
    { sub(/\r$/, "") }
    /^#/ { next }
    /^[ \t]*$/ { flush(); next }
    /^[ \t]/ { value[field] = value[field] "\n" $0; next }
    { colon = index($0, ":"); field = tolower(substr($0, 1, colon - 1)); value[field] = substr($0, colon + 1) }
    END { flush() }'
}

# Fails where the stanza names a key file that is not there (apt itself would only say NO_PUBKEY).
check_key() {
  # A key written into the stanza itself needs no file.
  if grep -q 'BEGIN PGP' "$1"; then return 0; fi
  # shellcheck disable=SC2013 # words are wanted: a field may name several keys
  for key in $(sed -n 's/^signed-by://p' "$1"); do
    case $key in
      /*) [ -r "$key" ] || fail "apt's configuration names the key $key (Signed-By), which is missing or unreadable" ;;
    esac
  done
}

list='' parts=''
eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
{
  for source in "$parts"/*.sources; do
    if [ -r "$source" ]; then cat "$source" && echo; fi
  done
  for source in "$list" "$parts"/*.list; do
    if [ -f "$source" ] && [ -r "$source" ]; then { cat "$source" && echo; } | one_line_to_deb822; fi
  done
} | write_candidates "$tmp/candidates" "$release"

# Read after the machine's own configuration (proxies, certificates and logins stay in force).
cat >"$tmp/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$tmp/sources";
Dir::State::lists "$tmp/lists";
Dir::Cache "$tmp/cache";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
EOF

tried=0
for candidate in "$tmp"/candidates/*; do
  [ -f "$candidate" ] || continue
  tried=$((tried + 1))
  check_key "$candidate"
  cp "$candidate" "$tmp/sources/source.sources"
  if (
    cd "$tmp/download"
    apt-get -qq -c "$tmp/apt.conf" update &&
      apt-get -qq -c "$tmp/apt.conf" source --only-source --tar-only --download-only "$package/$release"
  ) >"$tmp/log" 2>&1 && [ -f "$tmp/download/$file" ]; then
    cp "$tmp/download/$file" "$directory/"
    exit 0
  fi
  tail -n 5 "$tmp/log" >&2
  found=$(ls "$tmp/download")
  if [ -n "$found" ]; then fail "the archive's $package/$release is not $file but $found"; fi
done
[ "$tried" -gt 0 ] || fail "apt's configuration names no Debian main archive"
fail "apt could not download $package/$release (tried $tried archive(s); see above)"
