// Package tracingtest has a collector for tests.
package tracingtest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that came in.
type Span struct {
	Service, Name           string
	Trace, ID, Parent       string
	Kind                    tracev1.Span_SpanKind
	Failed                  bool
	Attributes              map[string]string
	LinkedTraces, LinkedIDs []string
	Raw                     string
}

// Collector takes exports by OTLP over HTTP on this machine.
type Collector struct {
	// URL is what OTEL_EXPORTER_OTLP_ENDPOINT names.
	URL string

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
}

// Start starts a collector that ends with the test.
func Start(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{}
	server := httptest.NewServer(c)
	tb.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	var in collectorv1.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &in) != nil {
		http.Error(w, "not an export of traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, r.Header.Clone())
	for _, resource := range in.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, spanOf(service, s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func spanOf(service string, s *tracev1.Span) Span {
	out := Span{
		Service: service, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Kind: s.GetKind(), Failed: s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		Attributes: attributes(s.GetAttributes()), Raw: s.String(),
	}
	for _, link := range s.GetLinks() {
		out.LinkedTraces = append(out.LinkedTraces, hex.EncodeToString(link.GetTraceId()))
		out.LinkedIDs = append(out.LinkedIDs, hex.EncodeToString(link.GetSpanId()))
	}
	return out
}

func attributes(all []*commonv1.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range all {
		switch v := a.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *commonv1.AnyValue_IntValue:
			out[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *commonv1.AnyValue_DoubleValue:
			out[a.GetKey()] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		case *commonv1.AnyValue_BoolValue:
			out[a.GetKey()] = strconv.FormatBool(v.BoolValue)
		default:
			out[a.GetKey()] = a.GetValue().String()
		}
	}
	return out
}

// Spans returns what has come in.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Headers returns those of the exports that have come in.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// patience is how long spans may take to come in: they are exported every few seconds.
const patience = time.Minute

// Await returns the spans once there are those that find looks for.
func (c *Collector) Await(tb testing.TB, find func([]Span) bool) []Span {
	tb.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		all := c.Spans()
		if find(all) {
			return all
		}
		if time.Now().After(deadline) {
			var names []string
			for _, s := range all {
				names = append(names, s.Service+": "+s.Name)
			}
			slices.Sort(names)
			require.Fail(tb, "the spans did not come in", "%v", slices.Compact(names))
		}
	}
}

// Named returns the spans with a name.
func Named(all []Span, name string) []Span {
	return slices.DeleteFunc(slices.Clone(all), func(s Span) bool { return s.Name != name })
}
