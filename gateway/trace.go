package gateway

import (
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/platform/errs"
)

// spanName names the span of a request: few names, and none with an id in it.
func spanName(method, route string) string {
	method = knownMethod(method)
	if route == "" {
		return method
	}
	return method + " " + route
}

// trace ends the span of a request. Paths, queries and headers stay out of it, as they stay out of the log.
func (x *exchange) trace(method string, status int) {
	defer x.span.End()
	if !x.span.On() {
		return
	}
	x.span.Name(spanName(method, x.Route))
	x.span.Set(attribute.String("http.request.method", method), attribute.String("http.route", x.Route), attribute.Int("http.response.status_code", status),
		attribute.Int64("http.response.body.size", x.bytes), attribute.String("trivet.request_id", x.ID), attribute.Bool("trivet.broken", x.Broken))
	switch {
	case x.Failure != nil && status >= http.StatusInternalServerError:
		x.span.Fail(errs.Code(x.Failure.Reason))
	case x.Failure != nil: // a caller's mistake, not the server's failure
		x.span.Set(attribute.String("error.type", errs.Code(x.Failure.Reason)))
	case status >= http.StatusInternalServerError || x.Broken:
		x.span.Fail(strconv.Itoa(status))
	}
}
