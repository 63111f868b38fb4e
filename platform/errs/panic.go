package errs

import (
	"fmt"
	"runtime"
)

// PanicText is what the log and stored errors say about the value of a panic: the text of the runtime's own errors, which name types and
// numbers, and only the type of any other value, whose text may hold content or secrets. The stack leads to the cause.
func PanicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}
