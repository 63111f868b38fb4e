package grpcserver

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
)

// method is what the interceptors need to know of an RPC, worked out once.
type method struct {
	name     string
	span     string // its name in traces
	service  string
	rule     *accessv1.Rule
	timeout  time.Duration
	observer RefusalObserver                                  // may be nil
	handler  grpc.MethodHandler                               // nil for a stream
	impl     any                                              // what implements it
	measures [codes.Unauthenticated + 1][]metric.RecordOption // made once, because a call would have to allocate them
}

// learn reads a service's rules from its descriptor.
func (c *chain) learn(desc *grpc.ServiceDesc, impl any) {
	observer, _ := impl.(RefusalObserver)
	for _, m := range desc.Methods {
		added := c.add(desc.ServiceName, m.MethodName, observer)
		added.handler, added.impl = m.Handler, impl
	}
	for _, m := range desc.Streams {
		c.add(desc.ServiceName, m.StreamName, observer)
	}
}

func (c *chain) add(service, name string, observer RefusalObserver) *method {
	full := "/" + service + "/" + name
	m := &method{name: full, span: strings.TrimPrefix(full, "/"), service: serviceOf(full), rule: RuleOf(service, name), timeout: c.config.Timeout, observer: observer}
	if t, ok := c.config.Timeouts[m.service]; ok {
		m.timeout = t
	}
	for code := range m.measures {
		m.measures[code] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
			attribute.String("rpc_method", strings.TrimPrefix(full, "/")),
			attribute.String("rpc_code", codes.Code(code).String()),
		))}
	}
	c.methods[full] = m
	return m
}

// RuleOf returns the access rule that proto writes on an RPC, or nil for an RPC without a rule.
func RuleOf(service, name string) *accessv1.Rule {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))
	if err != nil {
		return nil
	}
	if !proto.HasExtension(found.Options(), accessv1.E_Rule) {
		return nil
	}
	rule, _ := proto.GetExtension(found.Options(), accessv1.E_Rule).(*accessv1.Rule)
	return rule
}

// instruments are the metrics of calls.
type instruments struct {
	duration metric.Float64Histogram
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	duration, err := meter.Float64Histogram("trivet_rpc_duration_seconds",
		metric.WithDescription("How long RPCs took, by method and status code; streams until their end."),
		metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	if err != nil {
		return nil, err
	}
	return &instruments{duration: duration}, nil
}

func (i *instruments) record(ctx context.Context, m *method, code codes.Code, took time.Duration) {
	if int(code) >= len(m.measures) {
		code = codes.Unknown
	}
	i.duration.Record(ctx, took.Seconds(), m.measures[code]...)
}
