package provider

import (
	"cmp"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/platform/tracing"
)

// describe sets what the span of a call tells before its answer. The path may have ids, and the query content: both are left out.
func (c *call) describe(span tracing.Span, r *http.Request) {
	c.span = span
	span.Name("call " + c.t.config.Integration + " " + c.method)
	span.Set(attribute.String("http.request.method", r.Method), attribute.String("server.address", r.URL.Hostname()),
		attribute.String("trivet.integration", c.t.config.Integration), attribute.String("trivet.method", c.method),
		attribute.String("trivet.target", cmp.Or(c.t.config.Target, c.t.config.Integration)))
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		span.Set(attribute.Int("server.port", port))
	}
}

// endSpan ends the span of a call.
func (c *call) endSpan(out outcome) {
	if c.span.On() {
		if c.status > 0 && c.reply == nil {
			c.span.Set(attribute.Int("http.response.status_code", c.status))
		}
		if c.firstByte > 0 {
			c.span.Set(attribute.Int64("trivet.first_byte_us", c.firstByte.Microseconds()))
		}
		if out != success {
			c.span.Fail(string(out))
		}
	}
	c.span.End()
}
