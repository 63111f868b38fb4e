package call

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/platform/passport"
)

// Conn returns a connection to one service whose calls carry the caller's passport for that service and no other
// metadata: whatever a layer above put there stops here.
func Conn(conn grpc.ClientConnInterface, service string) grpc.ClientConnInterface {
	return &passportConn{conn: conn, service: service}
}

type passportConn struct {
	conn    grpc.ClientConnInterface
	service string
}

// Invoke implements grpc.ClientConnInterface.
func (c *passportConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.conn.Invoke(c.outgoing(ctx), method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c *passportConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.conn.NewStream(c.outgoing(ctx), desc, method, opts...)
}

func (c *passportConn) outgoing(ctx context.Context) context.Context {
	md := metadata.MD{}
	if p := From(ctx).Passports; p != nil {
		if token := p.For(c.service); token != "" {
			md[passport.Header] = []string{token}
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}
