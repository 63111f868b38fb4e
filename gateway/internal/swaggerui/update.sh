#!/bin/sh
# update.sh: takes Swagger UI's files from its npm package into files/, with license and checksums. The version is the one
# in swaggerui.go.
set -eu
cd "$(dirname "$0")"
version=$(grep -o 'Version = "[^"]*"' swaggerui.go | cut -d'"' -f2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "swagger-ui-dist@$version" >name && tar xzf "$(cat name)")
rm -rf files
mkdir files
for file in swagger-ui-bundle.js swagger-ui.css; do
  (cd "$work/package" && sha256sum "$file") >>files/SHA256SUMS.txt
  gzip -9nc "$work/package/$file" >"files/$file.gz"
done
cp "$work/package/LICENSE" files/LICENSE.txt
cp "$work/package/NOTICE" files/NOTICE.txt
cp "$work/package/swagger-ui-bundle.js.LICENSE.txt" files/
