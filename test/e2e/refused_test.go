package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process whose TRIVET_INTERNAL_SECRET differs is refused by the others. Its callers get 503 and not 403, and its log names the setting.
func TestAWrongInternalSecret(t *testing.T) {
	in := split(t)
	token := in.token("user_alice", nil)
	wrong := "TRIVET_INTERNAL_SECRET=" + strings.Repeat("d3Jvbmcg", 6)
	for name, tc := range map[string]struct {
		// begin starts the process that is refused, and returns it and the address of an edge that needs it.
		begin func(t *testing.T) (refused *installation, edge string)
		call  func(edge *installation) answer
	}{
		"of the edge, which auth refuses": {
			begin: func(t *testing.T) (*installation, string) {
				t.Helper()
				p := ports(t, 2)
				edge := in.another(t, "gateway", wrong, "TRIVET_HTTP_ADDR="+p[0], "TRIVET_OPS_ADDR="+p[1])
				edge.await("http://" + p[1] + "/healthz")
				return edge, "http://" + p[0]
			},
			call: func(edge *installation) answer {
				return edge.call(t.Context(), http.MethodGet, "/api/v1/me", token, "")
			},
		},
		"of ai, which billing refuses": {
			begin: func(t *testing.T) (*installation, string) {
				t.Helper()
				p := ports(t, 4)
				// It knows the secret of the edge, and proves its name with the other one.
				own := wrong + "," + in.running[2].setting("TRIVET_INTERNAL_SECRET")
				ai := in.another(t, "ai", own, "TRIVET_GRPC_ADDR="+p[0], "TRIVET_OPS_ADDR="+p[1])
				ai.await("http://" + p[1] + "/healthz")
				edge := in.another(t, "gateway", "TRIVET_AI_ADDR="+p[0], "TRIVET_HTTP_ADDR="+p[2], "TRIVET_OPS_ADDR="+p[3])
				edge.await("http://" + p[3] + "/healthz")
				return ai, "http://" + p[2]
			},
			call: func(edge *installation) answer {
				return edge.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, question)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused, address := tc.begin(t)
			edge := *in
			edge.t, edge.edge = t, address
			got := tc.call(&edge)
			require.NoError(t, got.err)
			require.Equal(t, http.StatusServiceUnavailable, got.status, "%s", got.body)
			require.NotContains(t, string(got.body), "Only Trivet's own services")
			const line = "another service refused this one: their TRIVET_INTERNAL_SECRET differ; give all processes the same list"
			require.Eventually(t, func() bool { return strings.Contains(refused.log.String(), line) }, time.Minute, 10*time.Millisecond, "%s", refused.log)
			require.Contains(t, refused.log.String(), "level=ERROR")
			require.NotContains(t, refused.log.String(), strings.Repeat("d3Jvbmcg", 6))
		})
	}
	require.Equal(t, http.StatusOK, in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, question).status, "the others serve")
}

// another starts one more process of a service, with the settings of the one that runs and others above them, and a log of its own.
func (in *installation) another(t *testing.T, name string, settings ...string) *installation {
	t.Helper()
	own := &installation{t: t, edge: in.edge, sandbox: in.sandbox, log: &logFile{}}
	i := slices.IndexFunc(in.running, func(p *program) bool { return p.name == name })
	require.GreaterOrEqual(t, i, 0, "%s does not run", name)
	env := slices.DeleteFunc(slices.Clone(in.running[i].Env), func(pair string) bool {
		return strings.HasPrefix(pair, "PATH=") || strings.HasPrefix(pair, "HOME=") // command sets them
	})
	own.start(name, nil, append(env, settings...))
	return own
}

// setting is the value of a setting of the program.
func (p *program) setting(name string) (value string) {
	for _, pair := range p.Env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
