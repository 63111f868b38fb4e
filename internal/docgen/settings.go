package docgen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Settings returns the table of all settings in the structs, ordered by name.
func Settings(structs []any) (string, error) {
	docs, err := settings.Describe(structs...)
	if err != nil {
		return "", err
	}
	slices.SortFunc(docs, func(a, b settings.Doc) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString("| setting | type | default | what it is |\n|---|---|---|---|\n")
	for _, d := range docs {
		kind := d.Type
		if d.Secret && !strings.HasPrefix(kind, "secret") {
			kind += ", secret"
		}
		fallback := d.Default
		if fallback != "" {
			fallback = "`" + fallback + "`"
		}
		help := strings.ReplaceAll(d.Help, "|", "\\|")
		if d.Alias != "" {
			help += "; also read as `" + d.Alias + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, kind, fallback, help)
	}
	return b.String(), nil
}

// Names lists the names of all settings, one a line.
func Names(structs []any) (string, error) {
	docs, err := settings.Describe(structs...)
	if err != nil {
		return "", err
	}
	var names []string
	for _, d := range docs {
		names = append(names, d.Name)
		if d.Alias != "" {
			names = append(names, d.Alias)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "\n") + "\n", nil
}

// fixed lists the settings that docker-compose.yml sets itself.
var fixed = []string{"TRIVET_ENV", "DATABASE_URL", "TRIVET_DATA_DIR", "TRIVET_API_KEY_SECRET"}

// Compose passes the settings of a service from .env into its container.
func Compose(structs []any) (string, error) {
	names, err := Names(structs)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for name := range strings.FieldsSeq(names) {
		if !slices.Contains(fixed, name) {
			fmt.Fprintf(&b, "  %s: ${%s:-}\n", name, name)
		}
	}
	return b.String() + "  # ", nil
}
