package docgen

import (
	"fmt"
	"strings"
)

// Unimplemented returns the list of RPCs that answer NOT_IMPLEMENTED, for the architecture page.
func Unimplemented(methods []string) string {
	var b strings.Builder
	last := ""
	for _, full := range methods {
		service, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
		service = service[strings.LastIndexByte(service, '.')+1:]
		if service != last {
			if last != "" {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "- %s: %s", service, method)
			last = service
			continue
		}
		b.WriteString(", " + method)
	}
	if last != "" {
		b.WriteString("\n")
	}
	return b.String()
}
