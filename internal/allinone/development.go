package allinone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/sandbox"
)

// development returns what trivet dev adds to the edge. absent lists the providers that the sandbox stands in for.
func development(box *sandbox.Sandbox, absent []string) gateway.Development {
	d := gateway.Development{LoopbackOrigins: true}
	if box != nil {
		d.Sandbox = sandboxURL(box)
	}
	if slices.Contains(absent, "clerk") {
		d.Clerk = under("/clerk", box.Handler())
	}
	return d
}

// under adds a prefix to the paths that a handler sees.
func under(prefix string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		moved := r.Clone(r.Context())
		moved.URL.Path = prefix + r.URL.Path
		if r.URL.RawPath != "" {
			moved.URL.RawPath = prefix + r.URL.RawPath
		}
		next.ServeHTTP(w, moved)
	})
}

// sandboxURL returns the address of the sandbox.
func sandboxURL(box *sandbox.Sandbox) string {
	return strings.TrimSuffix(box.Environment()["STRIPE_API_URL"], "/stripe")
}
