package docgen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// Settings is the table of all settings, by name.
func Settings() (string, error) {
	docs, err := settings.Describe(
		serve.Settings{}, serve.Edge{}, serve.Trust{}, serve.SigningKey{}, serve.Addresses{}, allinone.SandboxSettings{}, allinone.OperatorSettings{}, serve.Store{}, serve.PriceList{},
		gateway.Config{}, auth.Config{}, ai.Config{}, billing.Config{})
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
