package connect

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/trivet-dev/trivet/platform/peer"
)

// movingStream is a stream with one request. A server accepts a stream before it reads the request, and gets the request only
// then. So a replica that does not accept the stream, or whose connection breaks before that, can be left for another one: it
// never had the request. The first stream of a connection is sent at once and not left, because the replica may be of an older
// version that does not say when it accepts a stream; so is a stream that has no other replica to go to.
type movingStream struct {
	grpc.ClientStream
	conn   *Conn
	ctx    context.Context //nolint:containedctx // the caller's, as gRPC's streams have it
	desc   *grpc.StreamDesc
	method string
	opts   []grpc.CallOption

	attempt  *attempt
	attempts int
	timer    *time.Timer        // nil for an attempt that stays
	cancel   context.CancelFunc // nil for an attempt that stays
	request  any
	settled  bool // the replica has the request, or failure says why none has
	failure  error
}

// open begins a stream with one request.
func (c *Conn) open(ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	s := &movingStream{conn: c, ctx: ctx, desc: desc, method: method, opts: opts}
	if err := s.begin(); err != nil {
		return nil, c.seen(ctx, method, err)
	}
	return s, nil
}

// begin opens the stream on the next replica.
func (s *movingStream) begin() error {
	for {
		s.conn.awaitConnected(s.ctx)
		s.attempts++
		s.attempt = &attempt{stream: true}
		stays := s.attempts == maxAttempts || s.conn.hasOneReplica()
		var told []string
		if stays {
			told = []string{peer.UnawaitedHeader, "1"}
		}
		own := s.conn.outgoing(s.ctx, told...)
		if stays {
			own, s.timer, s.cancel = context.WithValue(own, attemptKey{}, s.attempt), nil, nil
		} else {
			own, s.timer, s.cancel = s.attempt.begin(own, acceptTime)
		}
		stream, err := s.conn.inner.NewStream(own, s.desc, s.method, s.opts...)
		if p := s.attempt.picked.Load(); p != nil {
			s.conn.from.Store(p.from)
		}
		if err == nil {
			s.ClientStream = stream
			s.attempt.mayLeave.Store(!stays && s.attempt.canLeave())
			if s.attempt.mayLeave.Load() {
				s.timer.Reset(acceptTime) // it may have passed before the replica was known
			}
			return nil
		}
		s.end()
		if !s.movesOn(err) {
			return ErrUnsent(err) // an earlier attempt was left before it got the request
		}
	}
}

// hasOneReplica reports whether a stream has no other replica to go to. It is false while that is not known.
func (c *Conn) hasOneReplica() bool {
	p := c.from.Load()
	if p == nil {
		return false
	}
	p = p.newest()
	return p != nil && len(p.replicas) == 1
}

func (s *movingStream) movesOn(err error) bool {
	return s.attempts < maxAttempts && s.attempt.movesOn(s.ctx, err)
}

// end frees what the attempt holds. One that stays holds nothing: the caller's context ends its stream.
func (s *movingStream) end() {
	if s.cancel != nil {
		s.timer.Stop()
		s.cancel()
	}
}

// SendMsg implements grpc.ClientStream. A replica that says when it accepts a stream gets the request after that.
func (s *movingStream) SendMsg(message any) error {
	s.request = message
	if s.attempt.mayLeave.Load() {
		return nil
	}
	return s.ClientStream.SendMsg(message)
}

// CloseSend implements grpc.ClientStream.
func (s *movingStream) CloseSend() error {
	if s.attempt.mayLeave.Load() {
		return nil // the request is still to be sent
	}
	return s.ClientStream.CloseSend()
}

// Header implements grpc.ClientStream.
func (s *movingStream) Header() (metadata.MD, error) {
	s.settle()
	return s.ClientStream.Header()
}

// RecvMsg implements grpc.ClientStream.
func (s *movingStream) RecvMsg(message any) error {
	s.settle()
	if s.failure != nil {
		return s.conn.seen(s.ctx, s.method, s.failure)
	}
	err := s.ClientStream.RecvMsg(message)
	if err != nil {
		s.end()
	}
	return s.conn.seen(s.ctx, s.method, err)
}

// settle waits until a replica has the request, or none can get it.
func (s *movingStream) settle() {
	for !s.settled {
		header, _ := s.ClientStream.Header() // its error is RecvMsg's
		if s.timer != nil {
			s.timer.Stop()
		}
		if header != nil && s.attempt.keep() {
			s.failure, s.settled = s.accept(header), true
			return
		}
		// A stream that sent no header has sent no message either.
		err := s.ClientStream.RecvMsg(&emptypb.Empty{})
		s.end()
		if mayLeave := s.attempt.mayLeave.Load(); !mayLeave || !s.movesOn(err) {
			if mayLeave && broken(err) {
				err = ErrUnsent(err)
			}
			s.failure, s.settled = err, true
			return
		}
		if err := s.restart(); err != nil {
			s.failure, s.settled = err, true
		}
	}
}

// accept sends the request to the replica that has accepted the stream.
func (s *movingStream) accept(header metadata.MD) error {
	p := s.attempt.picked.Load()
	if p != nil {
		p.replica.suspectUntil.Store(0)
		if len(header.Get(peer.AcceptedHeader)) > 0 {
			p.replica.accepts.Store(true)
		}
	}
	if s.attempt.mayLeave.Load() {
		return s.send()
	}
	return nil
}

// restart begins the stream on another replica.
func (s *movingStream) restart() error {
	if err := s.begin(); err != nil {
		return err
	}
	if s.attempt.mayLeave.Load() {
		return nil
	}
	return s.send()
}

// send sends the request.
func (s *movingStream) send() error {
	err := s.ClientStream.SendMsg(s.request)
	if err == nil {
		err = s.ClientStream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // of a stream that has ended, RecvMsg says why
		s.end()
		return err
	}
	return nil
}
