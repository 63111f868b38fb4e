package allinone

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry/catalog"
)

// parts are what INTEGRATIONS.md says about each integration.
var parts = []string{"Purpose", "Links", "Setup", "Variables", "Permissions", "Webhooks", "Limits", "Errors", "Health", "Test data"}

// ownSettings are the beginnings of the names of an integration's settings.
var ownSettings = map[string]string{"Clerk": "CLERK_", "OpenAI": "OPENAI_", "Stripe": "STRIPE_", "E-mail": "SMTP_"}

func repositoryFile(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	require.NoError(t, err)
	return string(raw)
}

// section returns what stands under a heading of INTEGRATIONS.md.
func section(t *testing.T, title string) string {
	t.Helper()
	_, after, ok := strings.Cut(repositoryFile(t, "INTEGRATIONS.md"), "\n## "+title+"\n")
	require.True(t, ok, "INTEGRATIONS.md has no section %s", title)
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

var (
	settingName = regexp.MustCompile("`([A-Z][A-Z0-9]*_[A-Z0-9_]+)[=`]")
	metricName  = regexp.MustCompile("`(trivet_[a-z_]+[a-z])[`{]")
	alertName   = regexp.MustCompile(`alerts? ((?:[A-Z][a-zA-Z]+(?:,\s| and\s)?)+)`)
	cardNumber  = regexp.MustCompile("`([0-9]{16})`")
)

// Each integration has all parts, and they name what exists.
func TestIntegrationsAreDocumented(t *testing.T) {
	for _, i := range integration.All() {
		t.Run(i.Title, func(t *testing.T) {
			body := section(t, i.Title)
			for _, part := range parts {
				require.Equal(t, 1, strings.Count(body, "\n**"+part+".**"), "the part %s", part)
			}
			aliases := []string{i.WebhookSettingAlias}
			named := map[string]bool{}
			for _, m := range settingName.FindAllStringSubmatch(body, -1) {
				name := m[1]
				if !slices.Contains(settings.Known(), name) {
					name = strings.TrimSuffix(name, "_FILE")
				}
				named[name] = true
				require.True(t, slices.Contains(settings.Known(), name) || slices.Contains(aliases, name) || slices.Contains(reasons(t), name), "%s is not a setting", name)
			}
			for _, name := range settings.Known() {
				if strings.HasPrefix(name, ownSettings[i.Title]) {
					require.True(t, named[name], "the setting %s is missing", name)
				}
			}
			for _, m := range metricName.FindAllStringSubmatch(strings.ReplaceAll(body, "`trivet_mail`", ""), -1) { // metadata at Stripe
				_, plain := catalog.Find(m[1])
				_, histogram := catalog.Find(m[1] + "_count")
				require.True(t, plain || histogram, "%s is not a metric", m[1])
			}
			require.Contains(t, body, `{integration="`+i.Name+`"}`)
			if len(i.WebhookHeaders) > 0 {
				require.Contains(t, body, i.WebhookPath())
				require.Contains(t, body, `trivet_webhooks_total{source="`+i.Name+`"}`)
			}
			require.Contains(t, body, "`trivet doctor`")
			alerts := 0
			for _, m := range alertName.FindAllStringSubmatch(strings.ReplaceAll(body, "\n", " "), -1) {
				for _, name := range regexp.MustCompile(`,\s| and\s`).Split(strings.TrimRight(m[1], ", "), -1) {
					require.True(t, slices.ContainsFunc(alert.Rules(), func(r alert.Rule) bool { return r.Name == name }), "%s is not an alert", name)
					alerts++
				}
			}
			require.Positive(t, alerts)
		})
	}
}

// reasons are the reasons of errors, which look like settings.
func reasons(t *testing.T) []string {
	t.Helper()
	return regexp.MustCompile(`[A-Z]+_[A-Z_]+`).FindAllString(repositoryFile(t, "docs", "errors.md"), -1)
}

// The section of Stripe names the events that the doctor asks for, each kind of object that the code reads or writes, and cards of the sandbox.
func TestPermissionsAndEventsOfStripeAreDocumented(t *testing.T) {
	page := repositoryFile(t, "INTEGRATIONS.md")
	block := strings.ReplaceAll("`"+strings.Join(stripeEvents, "`, `")+"`.\n", "\n", " ")
	_, inside, _ := strings.Cut(page, "<!-- stripe events -->\n")
	inside, _, ok := strings.Cut(inside, "<!-- /stripe events -->")
	require.True(t, ok)
	require.Equal(t, strings.TrimSpace(block), strings.TrimSpace(strings.ReplaceAll(inside, "\n", " ")))

	_, permissions, _ := strings.Cut(section(t, "Stripe"), "**Permissions.**")
	permissions, _, _ = strings.Cut(permissions, "\n**")
	called := map[string]bool{"billing_portal": true, "invoiceitems": true, "webhook_endpoints": true}
	resources := regexp.MustCompile(`case ("customers"[^:]*):`).FindStringSubmatch(repositoryFile(t, "services", "billing", "internal", "stripe", "transport.go"))
	require.NotNil(t, resources)
	for _, name := range strings.Split(resources[1], ", ") {
		called[strings.Replace(strings.Trim(name, `"`), "checkout_sessions", "checkout/sessions", 1)] = true
	}
	for name := range called {
		require.Contains(t, permissions, "`"+name+"`")
	}
	for _, m := range regexp.MustCompile("`([a-z_/]+)`").FindAllStringSubmatch(permissions, -1) {
		require.True(t, called[m[1]] || m[1] == "/v1/" || m[1] == "rk_", "the code does not call %s", m[1])
	}

	cards := repositoryFile(t, "sandbox", "stripe", "cards.go")
	numbers := cardNumber.FindAllStringSubmatch(section(t, "Stripe"), -1)
	require.Len(t, numbers, 5)
	for _, m := range numbers {
		require.Contains(t, cards, m[1])
	}
}

// Clerk's families of events, and the calls that Trivet makes, are those of the code.
func TestPermissionsAndEventsOfClerkAreDocumented(t *testing.T) {
	body := section(t, "Clerk")
	families := regexp.MustCompile(`family[A-Z][a-z]+ += "([a-zA-Z]+)"`).FindAllStringSubmatch(repositoryFile(t, "services", "auth", "internal", "clerk", "reduce.go"), -1)
	require.Len(t, families, 5)
	for _, m := range families {
		require.Contains(t, body, "`"+m[1]+"`")
	}
	calls := regexp.MustCompile(`case ("jwks"[^:]*):`).FindStringSubmatch(repositoryFile(t, "services", "auth", "internal", "clerk", "method.go"))
	require.NotNil(t, calls)
	for _, name := range strings.Split(calls[1], ", ") {
		require.Contains(t, body, "/v1/"+strings.Trim(name, `"`)+"`")
	}
}
