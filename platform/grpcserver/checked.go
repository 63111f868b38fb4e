package grpcserver

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Checked calls find code that does with a plain call's messages what it may not do. Both sides get copies. A side that
// changes a message is reported, and what a side keeps too long is spoiled, so that its tests fail.

// checkedUnary wraps the handler of a unary call.
func checkedUnary[Req, Res any](c *chain, handler Unary[Req, Res]) Unary[Req, Res] {
	return func(ctx context.Context, in *Req) (*Res, error) {
		if err := c.validate(in); err != nil {
			return nil, err
		}
		before, lent := clone(in), clone(in)
		out, err := handler(ctx, lent)
		if err := firstError(unchanged("handler", lent, before), unchanged("caller", in, before)); err != nil {
			return nil, err
		}
		spoil(lent)
		if err != nil || out == nil {
			return nil, err
		}
		given := clone(out)
		spoil(out)
		return given, nil
	}
}

// checkedStream wraps the handler of a stream.
func checkedStream[Req, Res any](c *chain, handler func(*Req, grpc.ServerStreamingServer[Res]) error) func(*Req, grpc.ServerStreamingServer[Res]) error {
	return func(in *Req, stream grpc.ServerStreamingServer[Res]) error {
		if err := c.validate(in); err != nil {
			return err
		}
		before, given := clone(in), clone(in)
		c.given.add(message(given), message(before))
		c.given.add(message(in), message(before))
		err := handler(given, &plainStream[Res]{ctx: stream.Context(), send: func(m *Res) error {
			lent := clone(m)
			defer spoil(lent)
			return stream.Send(lent)
		}})
		if err := firstError(unchanged("handler", given, before), unchanged("caller", in, before)); err != nil {
			return err
		}
		return err
	}
}

// given are the latest requests that were given away, and what they were.
type given struct {
	mu   sync.Mutex
	last [64][2]proto.Message
	next int
}

func (g *given) add(m, before proto.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last[g.next%len(g.last)] = [2]proto.Message{m, before}
	g.next++
}

// check reports a request that changed after its call.
func (g *given) check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pair := range g.last {
		if pair[0] != nil && !proto.Equal(pair[0], pair[1]) {
			return fmt.Errorf("grpcserver: a %s was changed after its call had begun", pair[0].ProtoReflect().Descriptor().FullName())
		}
	}
	return nil
}

func message(m any) proto.Message {
	p, _ := m.(proto.Message)
	return p
}

func clone[T any](m *T) *T {
	copied, ok := any(proto.Clone(message(m))).(*T)
	if !ok {
		return m
	}
	return copied
}

func unchanged(who string, m, before any) error {
	if proto.Equal(message(m), message(before)) {
		return nil
	}
	return fmt.Errorf("grpcserver: the %s changed a %s during its call", who, message(m).ProtoReflect().Descriptor().FullName())
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// spoil overwrites a message that nobody may use any more.
func spoil(m any) {
	if p := message(m); p != nil {
		spoilFields(p.ProtoReflect())
	}
}

func spoilFields(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				m.Mutable(f).Map().Set(k, spoiled(f.MapValue(), v))
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, spoiled(f, v.List().Get(i)))
			}
		default:
			m.Set(f, spoiled(f, v))
		}
		return true
	})
}

// spoiled returns what a value becomes; bytes and messages are overwritten where they are.
func spoiled(f protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	//exhaustive:ignore
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		spoilFields(v.Message())
		return v
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("spoiled: used after its call")
	case protoreflect.BytesKind:
		for i := range v.Bytes() {
			v.Bytes()[i] = '!'
		}
		return v
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-77)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-77)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!v.Bool())
	default:
		return v
	}
}
