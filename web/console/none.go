//go:build noconsole

package console

import "embed"

// Embedded reports whether the program has the console.
const Embedded = false

var built embed.FS
