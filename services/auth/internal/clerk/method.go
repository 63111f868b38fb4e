package clerk

import (
	"net/http"
	"strings"
)

// Method names a call for metrics and logs, without ids: "users.get", "jwks.get".
func Method(r *http.Request) string {
	_, rest, _ := strings.Cut(r.URL.Path, "/v1/")
	resource, _, _ := strings.Cut(rest, "/")
	switch resource {
	case "jwks", "users", "organizations", "organization_memberships", "organization_roles":
		return resource + "." + strings.ToLower(r.Method)
	default:
		return "other"
	}
}
