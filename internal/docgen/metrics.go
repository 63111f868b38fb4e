package docgen

import (
	"fmt"
	"strings"

	"github.com/trivet-dev/trivet/platform/telemetry/catalog"
)

// Metrics returns the table of all metrics.
func Metrics() string {
	var b strings.Builder
	b.WriteString("| metric | type | unit | exported by | labels | meaning |\n|---|---|---|---|---|---|\n")
	for _, m := range catalog.All() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", m.Name, m.Kind, m.Unit, m.Process, labels(m.Labels), meaning(m))
	}
	return b.String()
}

func labels(all []catalog.Label) string {
	described := make([]string, 0, len(all))
	for _, l := range all {
		values := l.Source
		if l.Values != nil {
			values = strings.Join(l.Values, ", ")
		}
		described = append(described, "`"+l.Name+"`: "+values)
	}
	return strings.Join(described, "<br>")
}

func meaning(m catalog.Metric) string {
	text := m.Help
	if m.Shared {
		text += " Every process reports the same rows: use the maximum, not the sum."
	}
	if m.Rare != "" {
		text += " Appears once " + m.Rare + "."
	}
	return text
}
