#!/bin/sh
# update.sh: takes the browser files of Clerk's packages from npm into files/, with license and checksums. The versions are
# those in browserfiles.go. Wallets, password strength, payment forms and older browsers are left out: the sandbox has no use
# for them.
set -eu
cd "$(dirname "$0")"
out=$PWD/files
rm -rf "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# take PACKAGE VERSION FOLDER ENTRY PATTERN
take() {
  mkdir -p "$out/$3"
  (cd "$work" && npm pack --silent "$1@$2" >"$3.name" && mkdir "$3" && tar xzf "$(cat "$3.name")" -C "$3")
  dist=$work/$3/package/dist
  hash=$(grep -o '\.h=()=>"[0-9a-f]*"' "$dist/$4" | head -1 | cut -d'"' -f2 | cut -c1-6)
  cp "$work/$3/package/LICENSE" "$out/$3/LICENSE"
  (
    cd "$dist"
    for file in "$4" *"_$5_${hash}_$2.js"; do
      case $file in
        *wallet* | *account-sdk* | *zxcvbn* | *stripe* | checkout_* | *SSO_* | *DirectorySync_*) continue ;;
      esac
      sha256sum "$file" >>"$out/$3/SHA256SUMS"
      gzip -9nc "$file" >"$out/$3/$file.gz"
    done
  )
}


take @clerk/clerk-js "$(grep -o '"@clerk/clerk-js", "[^"]*"' browserfiles.go | cut -d'"' -f4)" clerk-js clerk.browser.js clerk.browser
take @clerk/ui "$(grep -o '"@clerk/ui", "[^"]*"' browserfiles.go | cut -d'"' -f4)" ui ui.browser.js ui
