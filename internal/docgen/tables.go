package docgen

import (
	"maps"
	"slices"

	"github.com/trivet-dev/trivet/platform/alert"
)

// Table is a generated table and its place.
type Table struct {
	// File is the document, from the root of the repository.
	File string
	// Name is the table's marker in it; "" when the table is the whole file.
	Name string
	// Make generates the table.
	Make func() (string, error)
}

// Tables returns all generated tables. structs holds all settings, services those of each service.
func Tables(structs []any, services map[string][]any) []Table {
	all := []Table{
		{"docs/errors.md", "errors", func() (string, error) { return Errors(), nil }},
		{"docs/metrics.md", "metrics", func() (string, error) { return Metrics(), nil }},
		{"docs/security.md", "rules", Rules},
		{"docs/settings.md", "settings", func() (string, error) { return Settings(structs) }},
		{"platform/settings/names.txt", "", func() (string, error) { return Names(structs) }},
	}
	all = append(all,
		Table{"deploy/prometheus/rules.yaml", "", alert.Prometheus},
		Table{"deploy/grafana/trivet.json", "", Dashboard},
		Table{"deploy/grafana/queries.yaml", "", Queries},
	)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		all = append(all, Table{"docker-compose.yml", name, func() (string, error) { return Compose(services[name]) }})
	}
	return all
}
