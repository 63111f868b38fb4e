package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/trivet-dev/trivet/platform/tracing/tracingtest"
)

const (
	chatSpan     = "POST /v1/chat/completions"
	webhookSpans = "POST /api/webhooks/"
	billingRPC   = "trivet.billing.v1.BillingService/"
)

// One trace leads from the edge to the provider and the ledger, also across processes, and webhooks are linked to it. Nothing in it is
// content, a credential or an e-mail address.
func TestTraces(t *testing.T) {
	for name, start := range modes {
		t.Run(name, func(t *testing.T) {
			collector := tracingtest.Start(t)
			in := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=100", "LOG_FORMAT=json")
			token := in.token("user_traced", nil)
			const stranger = "4bf92f3577b34da6a3ce929d0e0e4736"
			in.fault(map[string]any{"kind": "status", "status": 500, "count": 1})
			answer := in.callWith(chatSpan, token, `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"canary-content"}]}`,
				http.Header{"Traceparent": {"00-" + stranger + "-00f067aa0ba902b7-01"}, "X-Request-Id": {"traced-request-1"}})
			require.Equal(t, http.StatusOK, answer.status, "%s", answer.body)

			all := collector.Await(t, func(all []tracingtest.Span) bool { // each process exports by itself
				for _, name := range []string{chatSpan, "trivet.auth.v1.AuthService/Authenticate", "trivet.ai.v1.AIService/Relay", "settle", billingRPC + "Reserve", billingRPC + "Settle"} {
					if len(tracingtest.Named(all, name)) == 0 {
						return false
					}
				}
				return true
			})
			root := tracingtest.Named(all, chatSpan)[0]
			require.Empty(t, root.Parent)
			require.NotEqual(t, stranger, root.Trace, "a stranger does not choose the trace")
			tree := traceTree{t: t, spans: slices.DeleteFunc(all, func(s tracingtest.Span) bool { return s.Trace != root.Trace })}
			tree.chat(root, name == "split on PostgreSQL")
			require.Contains(t, in.log.String(), `"trace_id":"`+root.Trace+`"`)

			all = collector.Await(t, func(all []tracingtest.Span) bool { return processed(all) != nil })
			received := processed(all)
			require.Contains(t, rootOf(all, received[0]).Name, webhookSpans)
			require.Equal(t, tracev1.Span_SPAN_KIND_CONSUMER, received[1].Kind)
			for _, s := range all {
				for _, canary := range []string{"canary-content", token, "@example", "sk_test", "sk-trivet", "whsec"} {
					require.NotContains(t, s.Raw, canary)
				}
			}
		})
	}
}

// processed returns the span that received a webhook and the one of its processing, which is linked to it.
func processed(all []tracingtest.Span) []tracingtest.Span {
	for _, done := range append(tracingtest.Named(all, "process clerk"), tracingtest.Named(all, "process stripe")...) {
		for _, s := range all {
			if slices.Contains(done.LinkedIDs, s.ID) && slices.Contains(done.LinkedTraces, s.Trace) && strings.HasPrefix(rootOf(all, s).Name, webhookSpans) {
				return []tracingtest.Span{s, done}
			}
		}
	}
	return nil
}

// rootOf follows the parents of a span as far as they have come in.
func rootOf(all []tracingtest.Span, s tracingtest.Span) tracingtest.Span {
	for _, one := range all {
		if one.ID == s.Parent {
			return rootOf(all, one)
		}
	}
	return s
}

// traceTree is the spans of one trace.
type traceTree struct {
	t     *testing.T
	spans []tracingtest.Span
}

// child returns the only child of a span with a name.
func (tree traceTree) child(of tracingtest.Span, name string) tracingtest.Span {
	tree.t.Helper()
	all := tree.children(of, name)
	require.Len(tree.t, all, 1, "%s below %s in %v", name, of.Name, tree.names())
	return all[0]
}

func (tree traceTree) children(of tracingtest.Span, name string) []tracingtest.Span {
	return slices.DeleteFunc(tracingtest.Named(tree.spans, name), func(s tracingtest.Span) bool { return s.Parent != of.ID })
}

func (tree traceTree) names() []string {
	var names []string
	for _, s := range tree.spans {
		names = append(names, s.Service+": "+s.Name)
	}
	return names
}

// chat checks the trace of a streamed chat whose first attempt failed.
func (tree traceTree) chat(root tracingtest.Span, split bool) {
	t := tree.t
	t.Helper()
	service := func(name string) string {
		if split {
			return name
		}
		return "trivet"
	}
	require.Equal(t, service("gateway"), root.Service)
	require.Equal(t, "200", root.Attributes["http.response.status_code"])
	require.Equal(t, "traced-request-1", root.Attributes["trivet.request_id"])
	require.Equal(t, tracev1.Span_SPAN_KIND_SERVER, root.Kind)
	authenticate := tree.child(tree.child(root, "verify credential"), "trivet.auth.v1.AuthService/Authenticate")
	require.Equal(t, service("auth"), authenticate.Service)
	relay := tree.child(root, "trivet.ai.v1.AIService/Relay")
	require.Equal(t, service("ai"), relay.Service)
	require.Equal(t, "traced-request-1", relay.Attributes["trivet.request_id"])

	reserve := tree.child(relay, "reserve")
	require.NotEmpty(t, reserve.Attributes["trivet.hold_id"])
	require.Equal(t, service("billing"), tree.child(reserve, billingRPC+"Reserve").Service)

	attempts := tree.children(relay, "chat gpt-4o-mini")
	require.Len(t, attempts, 2, "%v", tree.names())
	slices.SortFunc(attempts, func(a, b tracingtest.Span) int {
		return strings.Compare(a.Attributes["trivet.attempt"], b.Attributes["trivet.attempt"])
	})
	failed, good := attempts[0], attempts[1]
	require.True(t, failed.Failed)
	require.Equal(t, "server_error", failed.Attributes["error.type"])
	require.Equal(t, "500", failed.Attributes["http.response.status_code"])
	require.False(t, good.Failed)
	for key, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini", "server.address": "127.0.0.1",
	} {
		require.Equal(t, want, failed.Attributes[key], key)
		require.Equal(t, want, good.Attributes[key], key)
	}
	require.Contains(t, good.Attributes["gen_ai.response.model"], "gpt-4o-mini")
	require.NotEqual(t, "0", good.Attributes["gen_ai.usage.output_tokens"])
	require.NotEmpty(t, good.Attributes["gen_ai.usage.input_tokens"])
	require.Equal(t, tracev1.Span_SPAN_KIND_CLIENT, tree.child(good, "call openai chat.completions").Kind)

	settle := tree.child(relay, "settle")
	require.Equal(t, "completed", settle.Attributes["trivet.outcome"])
	require.Equal(t, good.Attributes["gen_ai.usage.output_tokens"], settle.Attributes["gen_ai.usage.output_tokens"])
	require.NotEmpty(t, strings.Trim(settle.Attributes["trivet.cost_nano_usd"], "0"))
	charged := tree.child(settle, billingRPC+"Settle")
	require.Equal(t, service("billing"), charged.Service)
	require.Equal(t, settle.Attributes["trivet.cost_nano_usd"], charged.Attributes["trivet.cost_nano_usd"])
}

// callWith is call with a method and a path in one text, and more headers.
func (in *installation) callWith(route, token, body string, more http.Header) answer {
	in.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	request, err := http.NewRequestWithContext(in.t.Context(), method, in.edge+path, strings.NewReader(body))
	require.NoError(in.t, err)
	request.Header = more
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	return answer{status: response.StatusCode, header: response.Header, body: []byte(readAll(in.t, response))}
}
