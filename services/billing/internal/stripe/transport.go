package stripe

import (
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/platform/provider"
)

// Transport returns the options for provider.New: short timeouts, and method names like "customers.create".
func Transport() provider.Config {
	return provider.Config{Integration: "stripe", Method: method, HeaderTimeout: timeout, IdleTimeout: timeout, MaxConcurrent: 64}
}

// method returns the name of a call without ids.
func method(r *http.Request) string {
	_, path, _ := strings.Cut(r.URL.Path, "/v1/")
	path = strings.Replace(path, "checkout/sessions", "checkout_sessions", 1)
	resource, id, hasID := strings.Cut(path, "/")
	switch resource {
	case "customers", "events", "products", "subscription_items", "prices", "subscriptions", "subscription_schedules", "invoices", "credit_notes", "checkout_sessions", "payment_methods", "refunds", "disputes":
	default:
		return "other"
	}
	switch {
	case r.Method == http.MethodPost && !hasID:
		return resource + ".create"
	case r.Method == http.MethodGet && !hasID:
		return resource + ".list"
	case r.Method == http.MethodGet && strings.HasSuffix(id, "/lines"):
		return resource + ".lines"
	case id != "":
		return resource + "." + strings.ToLower(r.Method)
	default:
		return resource
	}
}
