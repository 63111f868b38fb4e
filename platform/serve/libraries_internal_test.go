package serve

import (
	"bytes"
	"errors"
	"log"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
)

// What libraries write is logged, without texts that may repeat an answer.
func TestLinesOfLibraries(t *testing.T) {
	var out bytes.Buffer
	h := &Host{Logger: slog.New(slog.NewTextHandler(&out, nil))}
	before := log.Writer()
	restore := h.captureLibraries()
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q", "canary")
	otel.Handle(errors.New("billing metrics: the database is away"))
	restore()
	require.NotContains(t, out.String(), "canary")
	require.Contains(t, out.String(), "a library wrote a line to the standard log")
	require.Contains(t, out.String(), "billing metrics: the database is away")
	require.Equal(t, before, log.Writer())
}
