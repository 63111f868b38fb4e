package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// TestErrorsAreTyped keeps the error of each reason, and the event that ends a response with it, as TypeScript, which test/e2e compiles against the
// types of OpenAI's client. TRIVET_WRITE_DOCS=1 writes the file.
func TestErrorsAreTyped(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("// Written by TestErrorsAreTyped of gateway/internal/relay; do not edit.\nimport type { ErrorBody, ErrorEvent } from \"./translated-types.ts\";\n")
	list := func(name, kind string, write func(*errs.Error) []byte) {
		fmt.Fprintf(&out, "\nexport const %s: %s[] = [\n", name, kind)
		for _, number := range slices.Sorted(maps.Keys(errorsv1.ErrorReason_name)) {
			e := errs.New(errorsv1.ErrorReason(number), "Words.")
			if number%2 == 0 {
				e = e.Field("model", "is wrong")
			}
			body := write(e.With("request_id", "req_1").With("cost_nano_usd", "5"))
			require.True(t, json.Valid(body), "%s", body)
			fmt.Fprintf(&out, "  %s,\n", body)
		}
		out.WriteString("];\n")
	}
	list("bodies", "ErrorBody", func(e *errs.Error) []byte { return errorbody.Body(errorbody.OpenAI, e, "req_1") })
	list("events", "ErrorEvent", func(e *errs.Error) []byte { return responseError(errorbody.Body(errorbody.OpenAI, e, "req_1")) })
	path := filepath.Join("..", "..", "..", "test", "sdk", "clients", "errors.ts")
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
		return
	}
	committed, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(committed), "run `TRIVET_WRITE_DOCS=1 go test ./gateway/internal/relay` and commit")
}
