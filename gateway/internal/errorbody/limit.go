package errorbody

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/errs"
)

// writeLimit adds the headers of the limit that refused a request, by the names of the tree. A limit of another kind, such as
// that of calls at the same time, has none.
func writeLimit(h http.Header, tree Tree, e *errs.Error) {
	name, allowed, left := e.Metadata["limit"], e.Metadata["allowed"], e.Metadata["remaining"]
	window := windowOf(name)
	if window == "" || allowed == "" || left == "" {
		return
	}
	if tree == OpenAI {
		kind := "Requests"
		if strings.HasSuffix(name, "tokens_per_minute") {
			kind = "Tokens"
		}
		h.Set("X-Ratelimit-Limit-"+kind, allowed)
		h.Set("X-Ratelimit-Remaining-"+kind, left)
		h.Set("X-Ratelimit-Reset-"+kind, e.RetryAfter.Round(time.Millisecond).String())
		return
	}
	h.Set("Ratelimit-Policy", fmt.Sprintf("%q;q=%s;w=%s", name, allowed, window))
	h.Set("Ratelimit", fmt.Sprintf("%q;r=%s;t=%d", name, left, seconds(e.RetryAfter)))
}

// windowOf returns the seconds that a limit counts; "" for one that counts otherwise.
func windowOf(limit string) string {
	switch {
	case strings.HasSuffix(limit, "_per_minute"):
		return "60"
	case strings.HasSuffix(limit, "_per_day"):
		return "86400"
	default:
		return ""
	}
}
