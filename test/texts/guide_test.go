package texts_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// fixed lists the texts that the integration guide fixes, and the files that produce them. Front ends show these texts, and
// people search for them, so not even a comma may change.
var fixed = map[string][]string{
	"Unauthorized": {
		"gateway/internal/errorbody/text.go", "gateway/internal/bearer/bearer.go", "platform/passport/passport.go", "platform/grpcserver/authorize.go",
	},
	"Invalid token": {
		"gateway/internal/errorbody/text.go", "gateway/internal/bearer/bearer.go", "platform/grpcserver/authorize.go",
		"services/auth/internal/rpc/rpc.go", "services/auth/internal/authn/authn.go", "services/auth/internal/authn/session.go",
	},
	"Service temporarily unavailable. Please try again later.": {
		"gateway/internal/errorbody/text.go", "platform/errs/errs.go", "platform/passport/passport.go",
	},
	"Configuration error. Please contact support.": {
		"gateway/internal/errorbody/text.go", "services/ai/internal/invoke/call.go",
	},
	"Too many requests. Please wait a moment and try again.": {
		"gateway/internal/errorbody/text.go", "gateway/pipeline.go",
	},
	"Invalid webhook signature": {
		"gateway/internal/errorbody/text.go", "gateway/internal/webhook/webhook.go", "platform/webhook/webhook.go",
	},
	`{"received": true}`: {"gateway/internal/webhook/webhook.go"},
	"Payment processing is temporarily unavailable. Please try again later.": {"gateway/status.go"},
}

// documented lists where people read the fixed texts.
var documented = map[string]string{
	"Unauthorized": "docs/errors.md", "Invalid token": "docs/errors.md", "Invalid webhook signature": "docs/errors.md",
	"Service temporarily unavailable. Please try again later.": "docs/errors.md",
	"Configuration error. Please contact support.":             "docs/errors.md",
	"Too many requests. Please wait a moment and try again.":   "docs/errors.md",
	`{"received": true}`: "INTEGRATIONS.md",
	"Payment processing is temporarily unavailable. Please try again later.": "docs/operations.md",
}

func TestTextsOfTheGuideStayToTheLetter(t *testing.T) {
	literals := map[string][]string{}
	for text, paths := range fixed {
		for _, path := range paths {
			if literals[path] == nil {
				literals[path] = stringLiterals(t, path)
			}
			if !slices.Contains(literals[path], text) {
				t.Errorf("%s: the text %q is missing, which the integration guide fixes", path, text)
			}
		}
	}
}

func TestTextsOfTheGuideAreDocumented(t *testing.T) {
	require.Len(t, documented, len(fixed))
	for text, path := range documented {
		require.Contains(t, contents(t, path), text, path)
	}
}
