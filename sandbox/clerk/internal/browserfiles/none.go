//go:build nosandboxscripts

package browserfiles

import "embed"

const embedded = false

var files embed.FS
