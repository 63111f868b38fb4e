//go:build !nosandboxscripts

package browserfiles

import "embed"

const embedded = true

//go:embed files
var files embed.FS
