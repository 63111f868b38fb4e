package tracing

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/trivet-dev/trivet/platform/settings"
)

// The values of TRIVET_TRACE_INCOMING.
const (
	incomingLink     = "link"
	incomingContinue = "continue"
)

// Settings are the standard variables of OpenTelemetry, as far as they concern traces, and Trivet's own.
type Settings struct {
	// TraceBase and TraceURL say where traces go.
	TraceBase string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"address of an OTLP collector, such as http://127.0.0.1:4318; traces go to /v1/traces below it; empty turns tracing off"`
	TraceURL  string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" help:"whole address for traces, in place of OTEL_EXPORTER_OTLP_ENDPOINT"`
	// TraceProtocol is the form of the exports.
	TraceProtocol string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" help:"form of the exports; only http/protobuf (the default) is supported"`
	// TraceHeaders authenticate with the collector.
	TraceHeaders settings.Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" help:"headers of the exports, such as a token for the collector: NAME=VALUE, separated by commas; values are percent-encoded"`
	// TraceExporter turns the export off.
	TraceExporter string `env:"OTEL_TRACES_EXPORTER" default:"otlp" oneof:"otlp,none" help:"none turns tracing off although an endpoint is set"`
	// Sampler and SamplerArg say which requests are traced.
	Sampler    string `env:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" oneof:"always_on,always_off,traceidratio,parentbased_always_on,parentbased_always_off,parentbased_traceidratio" help:"which requests are traced"`
	SamplerArg string `env:"OTEL_TRACES_SAMPLER_ARG" help:"share of the requests that a traceidratio sampler traces, from 0 to 1; empty means 1"`
	// TraceService and TraceResource describe the process.
	TraceService  string   `env:"OTEL_SERVICE_NAME" help:"name of the process in traces; default: trivet, or the service's name in split mode"`
	TraceResource []string `env:"OTEL_RESOURCE_ATTRIBUTES" help:"further attributes of the process in traces: KEY=VALUE, separated by commas"`
	// TraceIncoming says what a caller's traceparent means.
	TraceIncoming string `env:"TRIVET_TRACE_INCOMING" default:"ignore" oneof:"ignore,link,continue" help:"what the edge does with the traceparent of a request: ignore it, link the new trace to it, or continue its trace and obey its sampling; continue is for an edge whose callers are all trusted"`
	// TraceProviders sends the context of traces on.
	TraceProviders bool `env:"TRIVET_TRACE_PROVIDERS" default:"false" help:"send a traceparent header to providers; this shows them trace ids"`
}

// Validate checks what the tags cannot express.
func (s Settings) Validate(settings.Modes) error {
	var found []error
	for _, e := range []struct{ name, address string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", s.TraceBase},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.TraceURL},
	} {
		if e.address == "" {
			continue
		}
		at, err := url.Parse(e.address)
		switch {
		case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
			found = append(found, settings.Invalid(e.name, "is not an address", "write http://HOST:PORT or https://HOST:PORT"))
		case at.User != nil:
			found = append(found, settings.Invalid(e.name, "contains a user or a password", "put credentials into OTEL_EXPORTER_OTLP_HEADERS"))
		}
	}
	if s.TraceProtocol != "" && s.TraceProtocol != "http/protobuf" && s.address() != "" {
		found = append(found, settings.Invalid("OTEL_EXPORTER_OTLP_PROTOCOL", "is not http/protobuf, the only protocol that Trivet has", "unset it and name the collector's HTTP port, which is usually 4318"))
	}
	if _, err := s.sampler(); err != nil {
		found = append(found, settings.Invalid("OTEL_TRACES_SAMPLER_ARG", err.Error(), "write a number from 0 to 1, such as 0.1"))
	}
	if _, err := parseHeaders(s.TraceHeaders.Reveal()); err != nil {
		found = append(found, settings.Invalid("OTEL_EXPORTER_OTLP_HEADERS", err.Error(), "write NAME=VALUE, separated by commas"))
	}
	for _, pair := range s.TraceResource {
		if _, _, ok := attributeOf(pair); !ok {
			found = append(found, settings.Invalid("OTEL_RESOURCE_ATTRIBUTES", "has a part that is not KEY=VALUE", "write KEY=VALUE, separated by commas"))
			break
		}
	}
	return settings.Join(found...)
}

// address is the whole address for traces; "" when tracing is off.
func (s Settings) address() string {
	if s.TraceExporter == "none" {
		return ""
	}
	if s.TraceURL != "" || s.TraceBase == "" {
		return s.TraceURL
	}
	return strings.TrimRight(s.TraceBase, "/") + "/v1/traces"
}

// sampler is the one that the settings name.
func (s Settings) sampler() (sdktrace.Sampler, error) {
	share, err := strconv.ParseFloat(cmp.Or(s.SamplerArg, "1"), 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return nil, fmt.Errorf("%.40q is not a share", s.SamplerArg)
	}
	name, parent := strings.CutPrefix(s.Sampler, "parentbased_")
	var root sdktrace.Sampler
	switch name {
	case "always_off":
		root = sdktrace.NeverSample()
	case "traceidratio":
		root = sdktrace.TraceIDRatioBased(share)
	default:
		root = sdktrace.AlwaysSample()
	}
	if parent {
		root = sdktrace.ParentBased(root)
	}
	return root, nil
}

// attributeOf splits KEY=VALUE; the value is percent-encoded.
func attributeOf(pair string) (key, value string, ok bool) {
	key, encoded, ok := strings.Cut(pair, "=")
	value, err := url.PathUnescape(strings.TrimSpace(encoded))
	key = strings.TrimSpace(key)
	return key, value, ok && err == nil && key != ""
}
