package docgen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// Settings is the table of all settings, by name. The all-in-one's own settings are an argument, because its tests use
// this package.
func Settings(allInOne ...any) (string, error) {
	docs, err := settings.Describe(append([]any{
		serve.Settings{}, serve.Edge{}, serve.Trust{}, serve.SigningKey{}, serve.Addresses{}, serve.Store{}, serve.PriceList{},
		gateway.Config{}, auth.Config{}, ai.Config{}, billing.Config{},
	}, allInOne...)...)
	if err != nil {
		return "", err
	}
	slices.SortFunc(docs, func(a, b settings.Doc) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString("| setting | type | default | what it is |\n|---|---|---|---|\n")
	for _, d := range docs {
		kind := d.Type
		if d.Secret {
			kind += ", secret"
		}
		fallback := d.Default
		if fallback != "" {
			fallback = "`" + fallback + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, kind, fallback, strings.ReplaceAll(d.Help, "|", "\\|"))
	}
	return b.String(), nil
}
