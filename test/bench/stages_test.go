package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// traces are as "go tool pprof -traces" writes them.
const traces = `File: trivet
Type: cpu
Duration: 5s, Total samples = 100ms (2%)
-----------+-------------------------------------------------------
      30ms   runtime.mallocgc
             net/http.(*persistConn).roundTrip (inline)
             github.com/trivet-dev/trivet/platform/provider.(*Transport).RoundTrip
             github.com/trivet-dev/trivet/services/ai/internal/invoke.(*call).run
-----------+-------------------------------------------------------
     stage:   a label
      20ms   runtime.scanObject
             runtime.gcDrain
             runtime.gcAssistAlloc
             runtime.mallocgc
             github.com/trivet-dev/trivet/gateway.(*Gateway).serve
-----------+-------------------------------------------------------
      40ms   modernc.org/sqlite/lib._sqlite3VdbeExec
             github.com/trivet-dev/trivet/services/billing/internal/store.(*unit).flush
-----------+-------------------------------------------------------
   10000us   runtime.findRunnable
             runtime.schedule
             runtime.mcall
-----------+-------------------------------------------------------
`

// The innermost function that has a stage decides, whoever called it; the garbage collector counts wherever it runs.
func TestCostsByStage(t *testing.T) {
	c, err := readTraces(strings.NewReader(traces))
	require.NoError(t, err)
	require.Equal(t, map[string]float64{
		"HTTP client": 0.3, "garbage collection": 0.2, "database: statements": 0.4, "scheduler, network poller": 0.1,
	}, c.stages)
	require.Equal(t, map[string]float64{"allocation": 0.5}, c.crossings)

	var out bytes.Buffer
	require.NoError(t, c.show(&out, "all-in-one", 400*time.Microsecond))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Equal(t, "all-in-one: µs of CPU per request by stage", lines[0])
	require.Equal(t, []string{"database:", "statements", "160.0", "40.0", "%"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"of", "it:", "allocation", "200.0", "50.0", "%"}, strings.Fields(lines[5]))
}
