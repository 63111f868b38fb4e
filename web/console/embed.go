//go:build !noconsole

package console

import "embed"

// Embedded reports whether the program has the console.
const Embedded = true

//go:embed dist
var built embed.FS
